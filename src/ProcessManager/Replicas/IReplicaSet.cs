using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>Keeps the wanted number of replicas of one model alive.</summary>
public interface IReplicaSet : IAsyncDisposable
{
    /// <summary>The model's name.</summary>
    string Model { get; }

    /// <summary>The last published status of each replica, by index. Reading never blocks.</summary>
    ImmutableArray<ReplicaStatus> Statuses { get; }

    /// <summary>Raised after each change of a status, in order for one replica. Handlers must not block or throw.</summary>
    event Action<ReplicaStatus>? StatusChanged;

    /// <summary>Starts the replicas; returns at once. May be called again after <see cref="StopAsync"/> has returned.</summary>
    /// <exception cref="InvalidOperationException"><see cref="StopAsync"/> is running.</exception>
    void Start();

    /// <summary>Asks one replica; completes when it has been carried out.</summary>
    /// <remarks>
    /// Start, restart and reset are carried out when the replica has come to rest: it takes work, waits for its next try, or has failed;
    /// stop when no process lives; drain when no request runs. A later command that overtakes this one completes it, too.
    /// Cancelling ends the wait, not the command.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">There is no such replica.</exception>
    /// <exception cref="InvalidOperationException"><see cref="StopAsync"/> is running, and the verb is not stop.</exception>
    Task CommandAsync(int index, ReplicaVerb verb, CancellationToken cancellationToken);

    /// <summary>The last captured lines of output of one replica, oldest first.</summary>
    IReadOnlyList<string> LogTail(int index, int lines);

    /// <summary>Ends all replicas in parallel: drain, drop connections, SIGTERM, grace, SIGKILL to the group. Completes when no process lives.</summary>
    /// <param name="cancellationToken">Means "hurry": what is left of drain and grace is skipped. The call still returns only when no process lives.</param>
    Task StopAsync(CancellationToken cancellationToken);
}
