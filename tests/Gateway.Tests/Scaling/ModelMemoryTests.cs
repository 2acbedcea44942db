using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scaling;
using LlmGateway.Gateway.Scaling.Residency;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.Gateway.Tests.Scaling;

/// <summary>What may be used of a machine, and where a model's memory lies.</summary>
public sealed class ModelMemoryTests
{
    private const long Gib = 1L << 30;

    [Theory]
    [InlineData(null, "50 GiB and 8192 MiB on GPU 0 and 24 GiB on GPU 1")] // the share of each
    [InlineData("32GiB", "50 GiB and 8192 MiB on GPU 0 and 24 GiB on GPU 1")]
    [InlineData("16GiB", "50 GiB and 4096 MiB on GPU 0 and 12 GiB on GPU 1")]
    public void Budget_TwoGpus_IsSpreadOverThemByTheirSizes(string? budget, string expected) =>
        Assert.Equal(expected, Memory(16, 48).Budget(new() { Budget = Size(budget), Share = 0.5 }).ToString());

    [Fact]
    public void Budget_NoGpu_IsTheMachines()
    {
        Assert.Equal(new Footprint(50 * Gib), Memory().Budget(new() { Share = 0.5 }));
        Assert.Equal(new Footprint(7 * Gib), Memory().Budget(new() { Budget = Size("7GiB") }));
    }

    [Fact]
    public void Budget_GpusConfigured_CountsInsteadOfWhatTheDriverTells()
    {
        var options = new MemoryOptions { Budget = Size("20GiB"), Gpus = [new(6 * Gib), new(0), new(5 * Gib)] };
        Assert.Equal(new Footprint(20 * Gib, 6 * Gib, 0, 5 * Gib), Memory().Budget(options));
        Assert.Equal(new Footprint(20 * Gib, 6 * Gib, 0, 5 * Gib), Memory(80).Budget(options));
    }

    [Theory]
    [InlineData(null, null, "0 MiB and 2048 MiB on GPU 0 and 6144 MiB on GPU 1")]
    [InlineData("1", null, "0 MiB and 8192 MiB on GPU 1")]
    [InlineData(null, "CUDA0", "0 MiB and 8192 MiB on the GPU")]
    [InlineData(null, "none", "8192 MiB")]
    public void PerReplica_SizeGiven_LiesWhereTheServerPutsIt(string? visible, string? device, string expected)
    {
        var model = new ModelOptions
        {
            MemoryBytes = Size("8GiB"),
            Args = device is null ? [] : ["--device", device],
            Environment = visible is null ? new Dictionary<string, string?> { ["CUDA_VISIBLE_DEVICES"] = null } : new Dictionary<string, string?> { ["CUDA_VISIBLE_DEVICES"] = visible },
        };
        var catalogue = new ModelCatalogue(new() { Models = new Dictionary<string, ModelOptions> { ["m"] = model } });
        Assert.Equal(expected, Memory(16, 48).PerReplica(catalogue.Models[0], catalogue).Size.ToString());
    }

    private static ByteSize? Size(string? text) => ByteSize.TryParse(text, out var size) ? size : null;

    private static ModelMemory Memory(params long[] gpus) => new(new Machine(gpus));

    /// <summary>100 GiB of memory, and GPUs of so many GiB.</summary>
    private sealed class Machine(long[] gpus) : IResourceSampler
    {
        public ResourceSnapshot Current { get; } = ResourceSnapshot.Empty with
        {
            Host = new() { MemoryTotalBytes = 100 * Gib },
            Gpus = [.. gpus.Select((gib, i) => new GpuSample($"{i}", null, null, null, gib * Gib))],
        };
    }
}
