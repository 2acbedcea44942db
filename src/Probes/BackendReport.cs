namespace LlmGateway.Probes;

/// <summary>What a probe loop found on one backend: the last result, and the verdict with it. Immutable.</summary>
/// <param name="Result">The last try.</param>
/// <param name="Verdict">The verdict with that try counted.</param>
/// <param name="Changed">True when this try changed the verdict's health.</param>
/// <param name="At">When the try ended.</param>
public sealed record BackendReport(ProbeResult Result, ProbeVerdict Verdict, bool Changed, DateTimeOffset At);
