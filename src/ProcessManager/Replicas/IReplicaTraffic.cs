namespace LlmGateway.ProcessManager.Replicas;

/// <summary>The requests that a replica carries, as their owner sees them. The supervisor asks before it ends a process.</summary>
/// <remarks>
/// llama-server neither finishes nor ends open requests on SIGTERM, so the owner drains and drops them first.
/// Implementations must be thread-safe; all calls name the generation they mean and do nothing for another one.
/// </remarks>
public interface IReplicaTraffic
{
    /// <summary>Completes when no request runs on the replica any more. New ones have stopped: the status says so before this is called.</summary>
    Task DrainedAsync(string backend, int generation, CancellationToken cancellationToken);

    /// <summary>What is on the replica now: it tells a busy server from a hung one. Called once a second; must not block.</summary>
    TrafficLook Look(string backend, int generation);

    /// <summary>Drops every connection to the replica; requests that still run there end with an error.</summary>
    void Drop(string backend, int generation);
}
