namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>Which way to ask on this machine.</summary>
internal static class GpuReaders
{
    /// <summary>NVIDIA's library, else its program, else what AMD's driver writes into <c>/sys</c>; null when the machine has none of them.</summary>
    public static IGpuReader? Find() => Nvml.TryLoad() ?? NvidiaSmi.TryFind() ?? (IGpuReader?)AmdSysfs.TryFind();
}
