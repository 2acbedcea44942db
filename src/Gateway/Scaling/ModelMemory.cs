using System.Collections.Immutable;
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

    /// <summary>Memory that all local models may take together: of each GPU, if there are any, the budget; of the machine its share.</summary>
    public Footprint Budget(MemoryOptions options)
    {
        var ram = sampler.Current.Host.MemoryTotalBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var gpus = Gpus(options);
        if (gpus.IsEmpty || options.Gpus.Count > 0)
        {
            return new(options.Budget?.Bytes ?? (long)(ram * options.Share), gpus.AsSpan());
        }

        var share = options.Budget is { } budget ? budget.Bytes / (double)gpus.Sum() : options.Share;
        return new((long)(ram * options.Share), [.. gpus.Select(bytes => (long)(bytes * share))]);
    }

    /// <summary>Memory of each GPU: as configured, else as its driver tells; empty when there is none.</summary>
    public ImmutableArray<long> Gpus(MemoryOptions options)
    {
        ImmutableArray<long> gpus = options.Gpus.Count > 0 ? [.. options.Gpus.Select(gpu => gpu.Bytes)] : [.. sampler.Current.Gpus.Select(gpu => gpu.MemoryTotalBytes ?? 0)];
        return gpus.Any(bytes => bytes > 0) ? gpus : [];
    }

    /// <summary>Looks at the machine again. Between the two limits the last finding stays, so that it does not flutter.</summary>
    public void Look() => IsPressed = MemoryPressure.IsPressed(IsPressed, sampler.Current.Host);

    /// <summary>What one process of a local model takes: what its options say, else what its file's header and its arguments tell.</summary>
    /// <returns>The size; or why it is not known.</returns>
    public (Footprint? Size, string? Unknown) PerReplica(Model model, ModelCatalogue catalogue)
    {
        var gpus = Gpus(catalogue.Options.Memory);
        var set = catalogue.ToReplicaSet(model, ModelCatalogue.SimulatorPath);
        var shares = ReplicaMemory.Shares(set, gpus);
        if (model.Options.MemoryBytes is { } given)
        {
            return (shares.Any(share => share > 0) ? new Footprint(0, On(shares, given.Bytes)) : new Footprint(given.Bytes), null);
        }

        if (model.Options.Kind == ModelKind.Simulator)
        {
            return (default(Footprint), null);
        }

        // What prompts are cached for later comes on top as time goes by: its bound is a share of the budget that is set aside (--cache-ram).
        var (estimate, unknown) = ReplicaMemory.Estimate(set, gpus);
        return estimate is null ? (null, unknown) : (new Footprint(estimate.RamBytes, On(shares, estimate.GpuBytes)), null);
    }

    private static long[] On(ImmutableArray<double> shares, long bytes) => [.. shares.Select(share => (long)(share * bytes))];
}
