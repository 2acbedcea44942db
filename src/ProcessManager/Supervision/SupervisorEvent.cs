using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What reaches a supervisor's mailbox.</summary>
internal abstract record SupervisorEvent
{
    /// <summary>An operator, or the replica set, asks.</summary>
    internal sealed record Asked(ReplicaVerb Verb) : SupervisorEvent;

    /// <summary>A stop that was asked for before must not take its time any longer.</summary>
    internal sealed record HurryAsked : SupervisorEvent;

    /// <summary>What an effect found. It speaks of one generation and is void in any other.</summary>
    internal abstract record Report(int Generation) : SupervisorEvent;

    /// <summary>The replica may start now.</summary>
    internal sealed record PermitGranted(int Generation) : Report(Generation);

    /// <summary>A process lives.</summary>
    internal sealed record Launched(int Generation, LiveProcess Process) : Report(Generation);

    /// <summary>No process was made. <paramref name="IsOurs"/>: for a trouble of the gateway's own, which costs the replica nothing.</summary>
    internal sealed record LaunchFailed(int Generation, ExitCause Cause, string Message, bool IsOurs = false) : Report(Generation);

    /// <summary>Our process answers on its address, so far only that it is loading.</summary>
    internal sealed record Answered(int Generation) : Report(Generation);

    /// <summary>The startup probe passed.</summary>
    internal sealed record StartupPassed(int Generation) : Report(Generation);

    /// <summary>It will not come up: no progress, or another process holds the address.</summary>
    internal sealed record StartupFailed(int Generation, ExitCause Cause, string Message) : Report(Generation);

    /// <summary>The server said who it is and how many slots it has.</summary>
    internal sealed record Warmed(int Generation, int Slots) : Report(Generation);

    /// <summary>The readiness verdict changed. <paramref name="IsSilent"/>: it fails because nothing answers in time.</summary>
    internal sealed record ReadinessChanged(int Generation, bool Healthy, string Finding, bool IsSilent = false) : Report(Generation);

    /// <summary>The liveness verdict changed, without leave to end the process.</summary>
    /// <param name="Generation">Of the process.</param>
    /// <param name="Health">The verdict.</param>
    /// <param name="IsWorking">It uses CPU or makes progress: if it does not answer, it is busy.</param>
    /// <param name="Leaked">Slots that it has lost for good.</param>
    /// <param name="Finding">Why, for a person.</param>
    internal sealed record LivenessChanged(int Generation, LivenessHealth Health, bool IsWorking = false, int Leaked = 0, string? Finding = null) : Report(Generation);

    /// <summary>It has been stopped for long enough: SIGCONT, once.</summary>
    internal sealed record ContinueDue(int Generation) : Report(Generation);

    /// <summary>It hangs, and its pool can spare it.</summary>
    internal sealed record FoundHung(int Generation, string Finding) : Report(Generation);

    /// <summary>No request runs there any more. <paramref name="Epoch"/> names the drain that it answers.</summary>
    internal sealed record Drained(int Generation, int Epoch) : Report(Generation);

    /// <summary>The process has ended; what it left behind is still being swept up.</summary>
    internal sealed record Died(int Generation) : Report(Generation);

    /// <summary>Nothing of it lives, and its output has been read.</summary>
    internal sealed record Exited(int Generation, ExitEvidence Evidence) : Report(Generation);

    /// <summary>What it is started from has changed, and stays as it is now. Void in any later epoch.</summary>
    internal sealed record FilesChanged(int Generation, int Epoch) : Report(Generation);

    /// <summary>The timer that was set in this epoch is due; in any later epoch it is void.</summary>
    internal sealed record TimerFired(int Generation, int Epoch) : Report(Generation);
}

/// <summary>What is left of a process for judging how it ended.</summary>
/// <param name="Code">As .NET reports it: 128 + n for signal n.</param>
/// <param name="KernelKilledForMemory">The kernel's count of such kills rose while the process lived.</param>
/// <param name="Tail">The last lines of its output, oldest first.</param>
internal sealed record ExitEvidence(int Code, bool KernelKilledForMemory, ImmutableArray<string> Tail);
