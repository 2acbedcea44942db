using System.Collections.Immutable;
using LlmGateway.Probes;
using LlmGateway.Probes.LlamaServer;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>What became of one question for <c>/slots</c>.</summary>
internal enum SlotsAnswer
{
    /// <summary>It told its slots.</summary>
    Told,

    /// <summary>It answered, but has no such endpoint.</summary>
    NotOffered,

    /// <summary>Nothing of use came in time.</summary>
    None,
}

/// <summary>One look at <c>/slots</c>.</summary>
internal readonly record struct SlotsLook(SlotsAnswer Answer, ImmutableArray<LlamaServerSlot> Slots)
{
    public static SlotsLook None { get; } = new(SlotsAnswer.None, []);

    public static SlotsLook NotOffered { get; } = new(SlotsAnswer.NotOffered, []);
}

/// <summary>What was seen at one moment.</summary>
/// <param name="At">The monotonic clock.</param>
/// <param name="IsLate">We ourselves were held up: whatever seems to have stood still may only have stood still for us.</param>
/// <param name="Process">The process.</param>
/// <param name="Traffic">The gateway's requests on it.</param>
/// <param name="Slots">The server's own word, when it was asked at this look.</param>
internal readonly record struct LivenessSample(TimeSpan At, bool IsLate, ProcessLook Process, TrafficLook Traffic, SlotsLook? Slots);

/// <summary>How long what may last.</summary>
/// <param name="Stall">Without any progress, CPU time included: hung. With CPU time: busy.</param>
/// <param name="FirstToken">Busy for this long while somebody waits for a first token: hung.</param>
/// <param name="Silence">Busy for this long when nobody does: hung.</param>
/// <param name="Unanswered">So many questions in a row without an answer while idle: hung.</param>
internal sealed record LivenessLimits(TimeSpan Stall, TimeSpan FirstToken, TimeSpan Silence, int Unanswered)
{
    /// <summary>Times <c>BetweenTokens</c> until a server that is busy with nothing is hung.</summary>
    public const int SilenceFactor = 10;

    public static LivenessLimits Of(ReplicaSetOptions options, ProbeOptions probe) =>
        new(probe.StallTimeout, options.FirstToken, options.BetweenTokens * SilenceFactor, probe.FailureThreshold);
}
