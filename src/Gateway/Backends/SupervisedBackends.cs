using LlmGateway.Gateway.Models;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Backends;

/// <summary>Backends that are replicas of our own: the supervisor's published status becomes an entry of the registry.</summary>
internal sealed class SupervisedBackends : IBackendSource
{
    private readonly BackendRegistry _registry;
    private readonly Lock _lock = new();
    private readonly Dictionary<int, Backend> _living = [];
    private volatile bool _hasSlotsEndpoint;
    private volatile bool _isRolling;
    private volatile BackendCondition _down = BackendCondition.Loadable;
    private volatile string? _downBecause;

    public SupervisedBackends(Model model, IReplicaSet replicas, BackendRegistry registry)
    {
        (Replicas, _registry, _hasSlotsEndpoint) = (replicas, registry, model.Options.Kind != ModelKind.Command);
        Replicas.StatusChanged += OnStatusChanged;
        ReportAll();
    }

    public IReplicaSet Replicas { get; }

    public void Start() => Replicas.Start();

    public async Task<string?> ApplyAsync(Model model, ModelCatalogue catalogue, CancellationToken cancellationToken)
    {
        // One that is down only until its new form is up is worth waiting for.
        _isRolling = true;
        _hasSlotsEndpoint = model.Options.Kind != ModelKind.Command;
        try
        {
            var stranded = await Replicas.ApplyAsync(catalogue.ToReplicaSet(model, ModelCatalogue.SimulatorPath), cancellationToken);
            return stranded is null ? null : $"{stranded.Backend} did not come up: {stranded.NotRoutableBecause}";
        }
        finally
        {
            _isRolling = false;
            ReportAll();
        }
    }

    /// <summary>Says what a replica that is not wanted means to whoever waits: stopped for good, loadable, or given up.</summary>
    /// <param name="condition">What to hope for.</param>
    /// <param name="because">One sentence for a person; null leaves it to the condition.</param>
    public void SetDown(BackendCondition condition, string? because = null)
    {
        (_down, _downBecause) = (condition, because);
        ReportAll();
    }

    public Task StopAsync(CancellationToken cancellationToken) => Replicas.StopAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        await Replicas.DisposeAsync();
        Replicas.StatusChanged -= OnStatusChanged;
    }

    private void ReportAll()
    {
        var count = Replicas.Statuses.Length;
        for (var i = 0; i < count; i++)
        {
            Report(i);
        }

        foreach (var entry in _registry.Snapshot(Replicas.Model).Entries.Where(entry => entry.Replica?.Index >= count))
        {
            _registry.Remove(Replicas.Model, entry.Name);
        }
    }

    private void OnStatusChanged(ReplicaStatus status) => Report(status.Index);

    private void Report(int index)
    {
        lock (_lock)
        {
            // The last status, whoever calls: so the last report is the truth even when two call at a time.
            if (Replicas.Statuses is var statuses && index < statuses.Length)
            {
                Report_NeedsLock(statuses[index]);
            }
        }
    }

    private void Report_NeedsLock(ReplicaStatus status)
    {
        var backend = _living.GetValueOrDefault(status.Index);
        if (status.Address is null || !IsAlive(status.State))
        {
            backend = null;
        }
        else if (backend?.Generation != status.Generation)
        {
            backend = new Backend(status.Backend, status.Model, status.Generation, status.Address, status.ApiKey, _hasSlotsEndpoint);
        }

        if (backend is null)
        {
            _living.Remove(status.Index);
        }
        else
        {
            _living[status.Index] = backend;
        }

        var condition = Condition(status);
        var because = condition == BackendCondition.Loadable ? _downBecause ?? "It is not loaded; the next request loads it." : status.NotRoutableBecause;
        _registry.Report(status.Model, new BackendEntry(status.Backend, condition, backend, status.UsableSlots, status, because));
    }

    private BackendCondition Condition(ReplicaStatus status) => status switch
    {
        { IsRoutable: true } => BackendCondition.Ready,
        { IsComing: true } => BackendCondition.Coming,
        { State: ReplicaState.Failed or ReplicaState.Stuck } => BackendCondition.Failed,
        _ when _isRolling => BackendCondition.Coming,
        _ => _down,
    };

    private static bool IsAlive(ReplicaState state) => state is not (ReplicaState.Stopped or ReplicaState.Queued or ReplicaState.Backoff or ReplicaState.Failed);
}
