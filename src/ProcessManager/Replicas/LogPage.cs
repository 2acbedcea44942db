using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>One reading of a replica's captured output.</summary>
/// <param name="Lines">Oldest first.</param>
/// <param name="Next">Where the next reading begins.</param>
/// <param name="Missed">Lines before these that are no longer kept.</param>
/// <param name="More">Completes when there are lines that this reading does not hold.</param>
public sealed record LogPage(ImmutableArray<string> Lines, long Next, long Missed, Task More);
