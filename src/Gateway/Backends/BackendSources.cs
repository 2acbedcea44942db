using System.Collections.Concurrent;
using LlmGateway.Gateway.Models;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Backends;

/// <summary>The one owner of the models' sources: brings them in, changes them, takes them out. Calls for one model must not overlap; those for different ones may.</summary>
internal sealed class BackendSources(
    BackendRegistry registry, IReplicaSetFactory factory, IReplicaTraffic traffic, ProbeMetrics probes, TimeProvider time, ILoggerFactory loggers) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, IBackendSource> _sources = new(StringComparer.Ordinal);

    /// <summary>The processes of a model, or null when it has none of ours.</summary>
    public IReplicaSet? Replicas(string model) => _sources.TryGetValue(model, out var source) ? (source as SupervisedBackends)?.Replicas : null;

    /// <summary>Makes a model's source, if it has none. Nothing runs before <see cref="Start"/>.</summary>
    public void Add(Model model, ModelCatalogue catalogue)
    {
        registry.Add(model.Name);
        _sources.GetOrAdd(model.Name, _ => model.IsLocal
            ? new SupervisedBackends(model, factory.Create(catalogue.ToReplicaSet(model, ModelCatalogue.SimulatorPath), traffic), registry)
            : new RemoteBackends(model, registry, traffic, probes, time, loggers));
    }

    /// <summary>Begins to run what is configured; returns at once.</summary>
    public void Start(string model) => _sources[model].Start();

    /// <summary>Says what it means that a model's processes are not wanted: stopped, loadable, or given up.</summary>
    public void SetDown(string model, BackendCondition condition, string? because = null)
    {
        if (_sources.TryGetValue(model, out var source))
        {
            (source as SupervisedBackends)?.SetDown(condition, because);
        }
    }

    /// <summary>Lets what runs finish and ends it; the source stays, to be started again.</summary>
    public Task UnloadAsync(string model, CancellationToken hurry) => _sources[model].StopAsync(hurry);

    /// <summary>Brings a model's source to its new options.</summary>
    /// <returns>One sentence about the backend that did not come up, or null.</returns>
    public async Task<string?> ApplyAsync(Model model, ModelCatalogue catalogue, CancellationToken cancellationToken)
    {
        if (_sources.TryGetValue(model.Name, out var source) && model.IsLocal == source is SupervisedBackends)
        {
            return await source.ApplyAsync(model, catalogue, cancellationToken);
        }

        // From our own processes to somebody else's servers or back: whoever waits goes on waiting meanwhile.
        var name = $"{model.Name}/next";
        registry.Report(model.Name, new BackendEntry(name, BackendCondition.Coming, null, 0, null, "it is being replaced"));
        if (source is not null)
        {
            await EndAsync(model.Name, source, cancellationToken);
            foreach (var entry in registry.Snapshot(model.Name).Entries.Where(entry => entry.Name != name))
            {
                registry.Remove(model.Name, entry.Name);
            }
        }

        Add(model, catalogue);
        Start(model.Name);
        registry.Remove(model.Name, name);
        return null;
    }

    /// <summary>Lets what runs finish, ends it and forgets the model.</summary>
    public async Task RemoveAsync(string model, CancellationToken hurry)
    {
        if (_sources.TryGetValue(model, out var source))
        {
            await EndAsync(model, source, hurry);
        }

        registry.Remove(model);
    }

    /// <summary>Ends everything; completes when no process lives.</summary>
    public Task StopAsync(CancellationToken hurry) => Task.WhenAll(_sources.Values.Select(source => source.StopAsync(hurry)));

    public async ValueTask DisposeAsync()
    {
        foreach (var source in _sources.Values)
        {
            await source.DisposeAsync();
        }
    }

    private async Task EndAsync(string model, IBackendSource source, CancellationToken hurry)
    {
        await source.StopAsync(hurry);
        await source.DisposeAsync();
        _sources.TryRemove(model, out _);
    }
}
