namespace LlmGateway.ProcessManager.Memory;

/// <summary>How much memory one server process will take when it works, in bytes, and what for.</summary>
/// <remarks>RAM is anonymous and mapped memory together: mapped weights are shared by the replicas of one model, but must be there.</remarks>
public sealed record MemoryEstimate
{
    /// <summary>Weights in RAM, the copy that is laid out for the CPU included.</summary>
    public long WeightBytes { get; init; }

    /// <summary>Weights in the memory of GPUs.</summary>
    public long GpuWeightBytes { get; init; }

    /// <summary>Keys and values, and the states of recurrent layers, of the whole context.</summary>
    public long CacheBytes { get; init; }

    /// <summary>The part of the cache that lies in the memory of GPUs.</summary>
    public long GpuCacheBytes { get; init; }

    /// <summary>What is computed with.</summary>
    public long ComputeBytes { get; init; }

    /// <summary>The part of it that lies in the memory of GPUs.</summary>
    public long GpuComputeBytes { get; init; }

    /// <summary>The program itself, its threads, the vocabulary.</summary>
    public long OverheadBytes { get; init; }

    /// <summary>Old prompts and checkpoints that may come on top as time goes by, at most; <see cref="long.MaxValue"/> when nothing bounds them.</summary>
    public long PromptCacheBytes { get; init; }

    /// <summary>RAM that the process needs.</summary>
    public long RamBytes => WeightBytes + CacheBytes - GpuCacheBytes + ComputeBytes - GpuComputeBytes + OverheadBytes;

    /// <summary>Memory of GPUs that the process needs, all together.</summary>
    public long GpuBytes => GpuWeightBytes + GpuCacheBytes + GpuComputeBytes;

    /// <summary>Both together.</summary>
    public long TotalBytes => RamBytes + GpuBytes;
}
