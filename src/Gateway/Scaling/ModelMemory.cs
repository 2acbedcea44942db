using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scaling.Residency;
using LlmGateway.ProcessManager.Memory;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.Gateway.Scaling;

/// <summary>How much memory models take, how much they may take together, and whether the machine has it.</summary>
internal sealed class ModelMemory(IResourceSampler sampler)
{
    /// <summary>True while the machine is so short of memory that nothing more may start.</summary>
    public bool IsPressed { get; private set; }

    /// <summary>True when there is a GPU whose memory is known.</summary>
    public bool HasGpu => sampler.Current.Gpus.Any(gpu => gpu.MemoryTotalBytes > 0);

    /// <summary>Memory that all local models may take together: of the GPUs, if there are any, the budget; of the machine its share.</summary>
    public Footprint Budget(MemoryOptions options)
    {
        var now = sampler.Current;
        var ram = now.Host.MemoryTotalBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var gpu = now.Gpus.Sum(one => one.MemoryTotalBytes ?? 0);
        return gpu == 0
            ? new(options.Budget?.Bytes ?? (long)(ram * options.Share), 0)
            : new((long)(ram * options.Share), options.Budget?.Bytes ?? (long)(gpu * options.Share));
    }

    /// <summary>Looks at the machine again. Between the two limits the last finding stays, so that it does not flutter.</summary>
    public void Look() => IsPressed = MemoryPressure.IsPressed(IsPressed, sampler.Current.Host);

    /// <summary>What one process of a local model takes: what its options say, else what its file's header and its arguments tell.</summary>
    /// <returns>The size; or why it is not known.</returns>
    public (Footprint? Size, string? Unknown) PerReplica(Model model, ModelCatalogue catalogue)
    {
        var hasGpu = HasGpu;
        if (model.Options.MemoryBytes is { } given)
        {
            return (hasGpu ? new Footprint(0, given.Bytes) : new Footprint(given.Bytes, 0), null);
        }

        if (model.Options.Kind == ModelKind.Simulator)
        {
            return (default(Footprint), null);
        }

        // What prompts are cached for later comes on top as time goes by: its bound is a share of the budget that is set aside (--cache-ram).
        var (estimate, unknown) = ReplicaMemory.Estimate(catalogue.ToReplicaSet(model, ModelCatalogue.SimulatorPath), hasGpu);
        return estimate is null ? (null, unknown) : (new Footprint(estimate.RamBytes, estimate.GpuBytes), null);
    }
}
