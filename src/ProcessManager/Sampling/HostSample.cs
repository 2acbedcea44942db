namespace LlmGateway.ProcessManager.Sampling;

/// <summary>Memory and pressure of the machine, or of the container that we are in. What the system does not tell is null.</summary>
public sealed record HostSample
{
    /// <summary>Bytes of memory that there are for us: the machine's, or a smaller limit of our cgroup.</summary>
    public long? MemoryTotalBytes { get; init; }

    /// <summary>Bytes that can still be taken without swapping: the machine's estimate, or what our cgroup's limit leaves if that is less.</summary>
    public long? MemoryAvailableBytes { get; init; }

    /// <summary>How long work waited for memory.</summary>
    public Pressure? Memory { get; init; }

    /// <summary>How long work waited for a core.</summary>
    public Pressure? Cpu { get; init; }

    /// <summary>How long work waited for storage.</summary>
    public Pressure? Io { get; init; }

    /// <summary>The limit of our cgroup (version 2), in bytes; null without one.</summary>
    public long? CgroupLimitBytes { get; init; }

    /// <summary>What the cgroup that has the limit uses, in bytes.</summary>
    public long? CgroupUsedBytes { get; init; }

    /// <summary>Processes that the kernel has ended for memory in our cgroup.</summary>
    public long? CgroupOomKills { get; init; }
}

/// <summary>Pressure stall information: the share of the last 10 s in which work waited.</summary>
/// <param name="Some">At least one task waited. <value>0 to 1.</value></param>
/// <param name="Full">All tasks waited. <value>0 to 1.</value></param>
public readonly record struct Pressure(double Some, double Full);
