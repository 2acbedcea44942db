using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What follows when the process has ended.</summary>
internal enum Afterwards
{
    /// <summary>What the restart policy says.</summary>
    Policy,

    /// <summary>Nothing: it was asked to stop.</summary>
    Stop,

    /// <summary>A new one, at no cost: it was asked to restart.</summary>
    Restart,
}

/// <summary>How far the process of this generation is.</summary>
internal enum ProcessPhase
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>A launch is under way; its report comes.</summary>
    Launching,

    /// <summary>It lives and may be signalled.</summary>
    Alive,

    /// <summary>It has ended; <see cref="SupervisorEvent.Exited"/> comes.</summary>
    Dead,
}

/// <summary>The process of one generation.</summary>
internal sealed record LiveProcess(int Pid, BackendAddress Address, string? ApiKey, DateTimeOffset StartedAt)
{
    /// <summary>A record would print every member, the key too.</summary>
    public override string ToString() => $"pid {Pid} on {Address}";
}

/// <summary>All that a supervisor knows of its replica. A value: <see cref="ReplicaTransitions"/> makes the next one.</summary>
internal sealed record Replica
{
    public ReplicaState State { get; init; }

    /// <summary>Counts starts; reports of other generations are void.</summary>
    public int Generation { get; init; }

    /// <summary>Counts entries into states; timers of other epochs are void.</summary>
    public int Epoch { get; init; }

    public ProcessPhase Phase { get; init; }

    /// <summary>The process while <see cref="Phase"/> is alive or dead.</summary>
    public LiveProcess? Process { get; init; }

    public Afterwards Afterwards { get; init; }

    /// <summary>True once we asked the process of this generation to end.</summary>
    public bool Signalled { get; init; }

    /// <summary>Why we end it, when not because somebody asked.</summary>
    public ExitCause? KilledFor { get; init; }

    /// <summary>The same for a person.</summary>
    public string? KilledBecause { get; init; }

    /// <summary>An operator said drain: no new work until told otherwise, over crashes, too.</summary>
    public bool Held { get; init; }

    /// <summary>While draining: no request runs any more.</summary>
    public bool Drained { get; init; }

    /// <summary>The epoch in which the current drain began.</summary>
    public int DrainEpoch { get; init; }

    /// <summary>True when the startup probe of this generation has passed.</summary>
    public bool StartupPassed { get; init; }

    /// <summary>The last readiness verdict of this generation; null before the first.</summary>
    public bool? ReadinessPasses { get; init; }

    /// <summary>The last readiness finding, for a person.</summary>
    public string? ReadinessFinding { get; init; }

    /// <summary>Readiness fails because nothing answers in time.</summary>
    public bool IsSilent { get; init; }

    /// <summary>The last liveness verdict of this generation; null before the first.</summary>
    public LivenessHealth? Liveness { get; init; }

    /// <summary>The last liveness finding, for a person.</summary>
    public string? LivenessFinding { get; init; }

    /// <summary>It uses CPU or makes progress.</summary>
    public bool IsWorking { get; init; }

    /// <summary>Slots that it has lost for good.</summary>
    public int LeakedSlots { get; init; }

    public int Slots { get; init; }

    /// <summary>Since when it is ready, or busy since; the monotonic clock.</summary>
    public TimeSpan? ReadySince { get; init; }

    public RestartHistory History { get; init; } = RestartHistory.Empty;

    /// <summary>What the next start costs of the budget.</summary>
    public int StartCost { get; init; }

    /// <summary>The next start follows an end (and is not an operator's start of a stopped one).</summary>
    public bool StartIsRestart { get; init; }

    /// <summary>All restarts.</summary>
    public int Restarts { get; init; }

    public ExitReport? LastExit { get; init; }

    /// <summary>While failed: it is tried again when what it is started from changes.</summary>
    public bool AwaitsChange { get; init; }

    public DateTimeOffset? NextTryAt { get; init; }
}
