using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>One way to ask about GPUs. Called on a thread that may wait, one call at a time.</summary>
internal interface IGpuReader
{
    /// <summary>How long a finding may stand for the present before it is asked for again.</summary>
    TimeSpan Period { get; }

    /// <summary>All GPUs that this way knows; empty when their driver has nothing (more) to say.</summary>
    ImmutableArray<GpuSample> Read();
}
