using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>The last look at everything. Immutable: any number of readers share it, and none changes what another sees.</summary>
/// <param name="Processes">By backend; a replica without a process has none.</param>
/// <param name="Host">The machine.</param>
/// <param name="Gpus">Empty without a GPU whose driver answers.</param>
public sealed record ResourceSnapshot(ImmutableDictionary<string, ProcessSample> Processes, HostSample Host, ImmutableArray<GpuSample> Gpus)
{
    /// <summary>Before the first look.</summary>
    public static ResourceSnapshot Empty { get; } = new(ImmutableDictionary<string, ProcessSample>.Empty, new(), []);

    /// <summary>What the process of this generation uses; null when it was not looked at yet. An older process's numbers are never given for it.</summary>
    public ProcessSample? Of(string backend, int generation) =>
        Processes.TryGetValue(backend, out var sample) && sample.Generation == generation ? sample : null;
}
