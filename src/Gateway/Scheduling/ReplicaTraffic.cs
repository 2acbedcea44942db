using LlmGateway.Gateway.Backends;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>What a supervisor may ask of the requests on its replica, before it ends the process.</summary>
internal sealed class ReplicaTraffic(Scheduler scheduler, BackendRegistry registry) : IReplicaTraffic
{
    public Task DrainedAsync(string backend, int generation, CancellationToken cancellationToken) =>
        registry.Find(backend, generation) is { } living ? scheduler.WhenIdle(living).WaitAsync(cancellationToken) : Task.CompletedTask;

    public TrafficLook Look(string backend, int generation) => registry.Find(backend, generation) is { } living
        ? new(scheduler.InFlight(living), living.Traffic.AwaitingFirstToken, living.Traffic.Whole, living.Traffic.Bytes)
        : default;

    public void Drop(string backend, int generation) => registry.Find(backend, generation)?.MarkGone();
}
