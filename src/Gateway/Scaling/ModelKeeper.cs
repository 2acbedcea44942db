using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;

namespace LlmGateway.Gateway.Scaling;

/// <summary>The one owner of change: which models there are, and that everything that follows the configuration follows the same one.</summary>
internal sealed class ModelKeeper(LiveCatalogue live, KeyRing keys, Scheduler scheduler, BackendSources sources) : IDisposable
{
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly Lock _lock = new();
    private CancellationTokenSource _superseded = new();

    /// <summary>Brings in the models of the first configuration; returns at once.</summary>
    public void Start()
    {
        var catalogue = live.Current;
        foreach (var model in catalogue.Models)
        {
            sources.Add(model, catalogue);
            sources.Start(model.Name);
        }
    }

    /// <summary>Puts a configuration into force: only what differs is touched. A later call overtakes an earlier one that still waits for a backend.</summary>
    /// <returns>One sentence for each model that is not as wanted.</returns>
    public async Task<ImmutableArray<string>> ApplyAsync(ModelCatalogue next, CancellationToken hurry)
    {
        var superseded = Supersede();
        await _changing.WaitAsync(CancellationToken.None);
        try
        {
            var before = live.Current;
            var change = CatalogueChange.Between(before, next);
            foreach (var model in next.Models)
            {
                scheduler.Apply(model);
            }

            live.Replace(next);
            keys.Apply(next.Options.Keys);
            foreach (var name in change.Removed)
            {
                scheduler.Close(name);
            }

            // Each model by itself: one that drains for a minute keeps no other waiting. All kept ones are looked at, since an overtaken change may have left one half way.
            var problems = await Task.WhenAll(
            [
                .. change.Removed.Select(name => RemoveAsync(name, hurry)),
                .. next.Models.Select(model => change.Added.Contains(model.Name) ? Task.FromResult(Add(model, next)) : ApplyAsync(model, next, superseded)),
            ]);
            return [.. problems.OfType<string>()];
        }
        finally
        {
            _changing.Release();
        }
    }

    public void Dispose()
    {
        _superseded.Dispose();
        _changing.Dispose();
    }

    private CancellationToken Supersede()
    {
        lock (_lock)
        {
            _superseded.Cancel();
            _superseded.Dispose();
            _superseded = new();
            return _superseded.Token;
        }
    }

    private string? Add(Model model, ModelCatalogue catalogue)
    {
        sources.Add(model, catalogue);
        sources.Start(model.Name);
        return null;
    }

    private async Task<string?> RemoveAsync(string name, CancellationToken hurry)
    {
        await sources.RemoveAsync(name, hurry);
        scheduler.Remove(name);
        return null;
    }

    private async Task<string?> ApplyAsync(Model model, ModelCatalogue catalogue, CancellationToken superseded)
    {
        try
        {
            return await sources.ApplyAsync(model, catalogue, superseded) is { } problem ? $"Models:{model.Name}: {problem}" : null;
        }
        catch (OperationCanceledException) when (superseded.IsCancellationRequested)
        {
            return $"Models:{model.Name}: overtaken by a later configuration";
        }
    }
}
