using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.Gateway.Scaling;

/// <summary>Says whether a machine, or the container that we are in, is short of memory right now. Pure.</summary>
internal static class MemoryPressure
{
    /// <summary>Share of the last 10 s in which everything waited for memory.</summary>
    private const double StallsAt = 0.10;
    private const double StallsNoMoreAt = 0.02;

    /// <summary>Share of the memory that is left.</summary>
    private const double ShortAt = 0.03;
    private const double ShortNoMoreAt = 0.06;

    /// <param name="wasPressed">The last finding: it stays between the two limits.</param>
    /// <param name="host">What the system tells; what it does not tell is no pressure.</param>
    public static bool IsPressed(bool wasPressed, HostSample host)
    {
        var left = host is { MemoryTotalBytes: > 0 and var total, MemoryAvailableBytes: { } available } ? (double)available / total : 1;
        return host.Memory?.Full >= (wasPressed ? StallsNoMoreAt : StallsAt) || left < (wasPressed ? ShortNoMoreAt : ShortAt);
    }
}
