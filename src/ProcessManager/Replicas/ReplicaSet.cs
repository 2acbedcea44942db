using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>What an operator may ask of one replica.</summary>
public enum ReplicaVerb
{
    /// <summary>Drain, end, start again; costs no restart budget.</summary>
    Restart,

    /// <summary>No new work; what runs may finish; the process stays.</summary>
    Drain,

    /// <summary>Undo <see cref="Drain"/>.</summary>
    Resume,

    /// <summary>Drain, end, stay down.</summary>
    Stop,

    /// <summary>Start a stopped or failed one.</summary>
    Start,

    /// <summary>Forget failures: restart budget and backoff begin anew, and a failed one starts.</summary>
    Reset,
}

/// <summary>Keeps the wanted number of replicas of one model alive.</summary>
public interface IReplicaSet : IAsyncDisposable
{
    /// <summary>The model's name.</summary>
    string Model { get; }

    /// <summary>The last published status of each replica, by index. Reading never blocks.</summary>
    ImmutableArray<ReplicaStatus> Statuses { get; }

    /// <summary>Raised after each change of a status, in order for one replica. Handlers must not block or throw.</summary>
    event Action<ReplicaStatus>? StatusChanged;

    /// <summary>Starts the replicas; returns at once.</summary>
    void Start();

    /// <summary>Asks one replica; completes when it has been carried out.</summary>
    Task CommandAsync(int index, ReplicaVerb verb, CancellationToken cancellationToken);

    /// <summary>The last captured lines of output of one replica, oldest first.</summary>
    IReadOnlyList<string> LogTail(int index, int lines);

    /// <summary>Ends all replicas in parallel: drop connections, SIGTERM, grace, SIGKILL to the group. Completes when no process lives.</summary>
    Task StopAsync(CancellationToken cancellationToken);
}

/// <summary>Makes replica sets that share one launcher, one pool of ports and one set of start permits.</summary>
public interface IReplicaSetFactory
{
    /// <summary>Makes a set; nothing is launched before <see cref="IReplicaSet.Start"/>.</summary>
    IReplicaSet Create(ReplicaSetOptions options, IReplicaTraffic traffic);

    /// <summary>The final command line of one replica, program first, as it would be launched on <paramref name="port"/>. Holds no secret.</summary>
    ImmutableArray<string> Preview(ReplicaSetOptions options, int index, int port);
}
