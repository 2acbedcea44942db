using LlmGateway.Gateway.Models;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Backends;

/// <summary>Backends that are replicas of our own: the supervisor's published status becomes an entry of the registry.</summary>
internal sealed class SupervisedBackends : IBackendSource
{
    private readonly Model _model;
    private readonly BackendRegistry _registry;
    private readonly Backend?[] _living;

    public SupervisedBackends(Model model, IReplicaSet replicas, BackendRegistry registry)
    {
        (_model, Replicas, _registry) = (model, replicas, registry);
        _living = new Backend?[replicas.Statuses.Length];
        foreach (var status in replicas.Statuses)
        {
            Report(status);
        }
    }

    public IReplicaSet Replicas { get; }

    public void Start()
    {
        Replicas.StatusChanged += Report;
        Replicas.Start();
    }

    public Task StopAsync(CancellationToken cancellationToken) => Replicas.StopAsync(cancellationToken);

    // Calls for one replica come in order, so its own element of the array needs no lock.
    private void Report(ReplicaStatus status)
    {
        var backend = _living[status.Index];
        if (status.Address is null || !IsAlive(status.State))
        {
            backend = null;
        }
        else if (backend?.Generation != status.Generation)
        {
            backend = new Backend(status.Backend, status.Model, status.Generation, status.Address, status.ApiKey, _model.Options.Kind != ModelKind.Command);
        }

        _living[status.Index] = backend;
        _registry.Report(status.Model, new BackendEntry(status.Backend, Condition(status), backend, status.Slots, status, status.NotRoutableBecause));
    }

    private static BackendCondition Condition(ReplicaStatus status) => status switch
    {
        { IsRoutable: true } => BackendCondition.Ready,
        { IsComing: true } => BackendCondition.Coming,
        { State: ReplicaState.Failed or ReplicaState.Stuck } => BackendCondition.Failed,
        _ => BackendCondition.Stopped,
    };

    private static bool IsAlive(ReplicaState state) => state is not (ReplicaState.Stopped or ReplicaState.Queued or ReplicaState.Backoff or ReplicaState.Failed);
}
