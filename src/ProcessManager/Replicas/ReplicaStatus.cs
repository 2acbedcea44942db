using System.Collections.Immutable;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>One replica as its supervisor last published it. Immutable: readers share it without locks.</summary>
public sealed record ReplicaStatus
{
    /// <summary>The model that the replica serves.</summary>
    public required string Model { get; init; }

    /// <summary>0-based place among the model's replicas.</summary>
    public required int Index { get; init; }

    /// <summary>The backend's name: <c>model/index</c>.</summary>
    public string Backend => $"{Model}/{Index}";

    /// <summary>Counts the starts of this replica; news of an older generation is void.</summary>
    public int Generation { get; init; }

    /// <summary>Where it stands.</summary>
    public ReplicaState State { get; init; }

    /// <summary>Process id while a process lives.</summary>
    public int? Pid { get; init; }

    /// <summary>Where the current process listens.</summary>
    public BackendAddress? Address { get; init; }

    /// <summary>The key that this generation's server asks for, or null. Never shown, logged or serialised.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public string? ApiKey { get; init; }

    /// <summary>When the current process was launched.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>Parallel slots: what the server says (<c>/props</c>), at most what was configured; 0 until it is known.</summary>
    public int Slots { get; init; }

    /// <summary>Of <see cref="Slots"/>: those that are busy for ever with nothing of ours.</summary>
    public int LeakedSlots { get; init; }

    /// <summary>Slots that can be given work at all.</summary>
    public int UsableSlots => Slots - LeakedSlots;

    /// <summary>Restarts counted in the current window.</summary>
    public int RestartsInWindow { get; init; }

    /// <summary>All restarts since the gateway started.</summary>
    public int Restarts { get; init; }

    /// <summary>How the last process ended, or null.</summary>
    public ExitReport? LastExit { get; init; }

    /// <summary>When the next start is due, while in <see cref="ReplicaState.Backoff"/> or a slow retry.</summary>
    public DateTimeOffset? NextTryAt { get; init; }

    /// <summary>One sentence for a person: why no work goes there; null when it takes work.</summary>
    public string? NotRoutableBecause { get; init; }

    /// <summary>Last probe findings: <c>passing</c>, <c>failing</c> or <c>unknown</c>.</summary>
    public ProbeSummary Probes { get; init; } = ProbeSummary.Unknown;

    /// <summary>True when new work may be sent.</summary>
    public bool IsRoutable => State == ReplicaState.Ready;

    /// <summary>For logs: name, state and generation. A record would print every member, the key too.</summary>
    public override string ToString() => $"{Backend} {Names.Of(State)} (generation {Generation})";

    /// <summary>It ends because it was asked to restart: another process follows.</summary>
    public bool IsRestarting { get; init; }

    /// <summary>True when the replica may become routable without a person: waiting on it is worthwhile.</summary>
    public bool IsComing => IsRestarting || State is ReplicaState.Queued or ReplicaState.Starting or ReplicaState.Loading or ReplicaState.Warming
        or ReplicaState.Busy or ReplicaState.NotReady or ReplicaState.Killing or ReplicaState.Backoff;
}

/// <summary>The last verdicts of a replica's probes.</summary>
/// <param name="Startup">Of the startup probe.</param>
/// <param name="Readiness">Of the readiness probe.</param>
/// <param name="Liveness">Of the liveness probe.</param>
public sealed record ProbeSummary(string Startup, string Readiness, string Liveness)
{
    /// <summary>Nothing is known yet.</summary>
    public static ProbeSummary Unknown { get; } = new("unknown", "unknown", "unknown");
}

/// <summary>How a process ended.</summary>
/// <param name="Code">Exit code, or null when a signal ended it.</param>
/// <param name="Signal">Signal number, or null.</param>
/// <param name="Cause">Our reading of it.</param>
/// <param name="Advice">One line for a person: what to do.</param>
/// <param name="At">When it was noticed.</param>
/// <param name="Log">The last lines of its output, at most 50, control characters escaped.</param>
public sealed record ExitReport(int? Code, int? Signal, ExitCause Cause, string Advice, DateTimeOffset At, ImmutableArray<string> Log);
