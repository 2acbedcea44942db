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

    /// <summary>Brings the set to other options while it runs.</summary>
    /// <remarks>
    /// Surplus replicas drain and end, missing ones start if the set was started, and those of another <see cref="ReplicaSetOptions.Revision"/> are
    /// replaced one after another: drain, end, start, and only when the new one takes work the next. Others are not touched. Should a new one not
    /// come up, the rest keeps what it had. Cancelling ends the call after what it has begun; the next call goes on from there.
    /// </remarks>
    /// <param name="options">Of the same model.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The replica that did not come up, or null when the set is as wanted.</returns>
    Task<ReplicaStatus?> ApplyAsync(ReplicaSetOptions options, CancellationToken cancellationToken);

    /// <summary>The last captured lines of output of one replica, oldest first.</summary>
    IReadOnlyList<string> LogTail(int index, int lines);

    /// <summary>Captured output from a place on, for whoever follows it. Never blocks.</summary>
    /// <param name="index">Which replica.</param>
    /// <param name="from">The <see cref="LogPage.Next"/> of the reading before; a negative number counts lines from the end.</param>
    /// <param name="most">Lines at once.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such replica.</exception>
    LogPage ReadLog(int index, long from, int most);

    /// <summary>Ends all replicas in parallel: drain, drop connections, SIGTERM, grace, SIGKILL to the group. Completes when no process lives.</summary>
    /// <param name="cancellationToken">Means "hurry": what is left of drain and grace is skipped. The call still returns only when no process lives.</param>
    Task StopAsync(CancellationToken cancellationToken);
}
