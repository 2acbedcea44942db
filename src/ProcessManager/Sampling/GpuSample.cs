using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>One GPU. What its driver does not tell is null, and never 0.</summary>
/// <param name="Id">Its number, as the driver counts: the label <c>gpu</c>.</param>
/// <param name="Name">What the driver calls it.</param>
/// <param name="Utilization">Share of the last period in which it worked. <value>0 to 1.</value></param>
/// <param name="MemoryUsedBytes">Memory in use, by everybody.</param>
/// <param name="MemoryTotalBytes">All its memory.</param>
public sealed record GpuSample(string Id, string? Name, double? Utilization, long? MemoryUsedBytes, long? MemoryTotalBytes)
{
    /// <summary>The processes that compute on it, each with its share of the work; a share is null where only its presence is told. Null: the driver does not tell whose work it does.</summary>
    public ImmutableDictionary<int, double?>? Processes { get; init; }
}
