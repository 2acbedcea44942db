namespace LlmGateway.ProcessManager.Supervision;

/// <summary>Where a replica stands. The names are the contract's, in snake case on the outside.</summary>
public enum ReplicaState
{
    /// <summary>Not wanted.</summary>
    Stopped,

    /// <summary>Wanted; waits for a start permit and an address.</summary>
    Queued,

    /// <summary>Launched; nothing has answered yet.</summary>
    Starting,

    /// <summary>Answers that it is loading its model.</summary>
    Loading,

    /// <summary>Healthy; its identity, slots and context are being read.</summary>
    Warming,

    /// <summary>Takes work.</summary>
    Ready,

    /// <summary>Makes progress but does not answer in time: no new work, no kill.</summary>
    Busy,

    /// <summary>Alive and failing its readiness probe.</summary>
    NotReady,

    /// <summary>Takes no new work; what runs may finish.</summary>
    Draining,

    /// <summary>Was asked to end (SIGTERM).</summary>
    Stopping,

    /// <summary>Was made to end (SIGKILL).</summary>
    Killing,

    /// <summary>Does not end even so.</summary>
    Stuck,

    /// <summary>Ended; starts again when its delay is over.</summary>
    Backoff,

    /// <summary>Ended; its restart budget is spent or the cause is permanent.</summary>
    Failed,
}

/// <summary>Why a process ended. The names are the contract's, in snake case on the outside.</summary>
public enum ExitCause
{
    /// <summary>We asked for it.</summary>
    Requested,

    /// <summary>A signal of its own making (ABRT, BUS, SEGV …) or a non-zero exit code without a better reading.</summary>
    Crash,

    /// <summary>The kernel ended it for memory.</summary>
    Oom,

    /// <summary>The GPU's memory did not suffice.</summary>
    Vram,

    /// <summary>Somebody else sent a signal.</summary>
    ExternalKill,

    /// <summary>Exit code 0 that nobody asked for.</summary>
    UnexpectedExit,

    /// <summary>Its address was taken, or is held by another process.</summary>
    PortConflict,

    /// <summary>The model file is missing, truncated or not a model.</summary>
    ModelInvalid,

    /// <summary>The binary does not run on this CPU (SIGILL).</summary>
    WrongBuild,

    /// <summary>A missing binary, an unknown argument: nothing that a new start would mend.</summary>
    PermanentConfig,

    /// <summary>Not ready in time, and no progress.</summary>
    StartTimeout,

    /// <summary>Ended by us because it made no progress.</summary>
    Hung,
}
