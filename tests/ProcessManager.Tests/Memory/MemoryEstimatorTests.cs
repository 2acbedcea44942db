using System.Collections.Immutable;
using LlmGateway.ProcessManager.Memory;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Tests.Memory;

public sealed class MemoryEstimatorTests
{
    private const long MiB = 1 << 20;

    /// <summary>What the real server said of its buffers (llama.cpp build 11669, CPU): width, inner width, heads, heads of keys, layers; MiB of cache and of compute buffer.</summary>
    [Theory]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 4096", 8.0, 10.02)]
    [InlineData(512, 128, 8, 4, 2, "-np 2 -c 4096", 8.0, 8.02)]
    [InlineData(512, 4096, 8, 4, 2, "-np 2 -c 4096", 8.0, 31.02)]
    [InlineData(1024, 128, 16, 16, 2, "-np 2 -c 4096", 32.0, 16.02)]
    [InlineData(1024, 4096, 16, 4, 2, "-np 2 -c 4096", 8.0, 36.02)]
    [InlineData(768, 2048, 12, 4, 8, "-np 2 -c 4096", 32.0, 21.52)]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 4096 -b 256", 8.0, 5.01)]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 4096 -b 2048 -ub 2048", 8.0, 40.07)]
    [InlineData(512, 768, 8, 4, 2, "-np 4 -c 4096", 8.0, 9.02)]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 32768", 64.0, 24.02)]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 65536 -kvu", 128.0, 72.02)]
    [InlineData(512, 768, 8, 4, 2, "-c 32768", 64.0, 40.02)]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 16384 -fa off", 32.0, 151.01)]
    [InlineData(512, 768, 8, 4, 2, "-np 2", 128.0, 40.02)]
    [InlineData(512, 768, 8, 4, 2, "-np 3 -c 5000", 10.5, 9.79)]
    [InlineData(512, 768, 8, 4, 2, "-np 3 -c 5000 -kvu", 10.0, 13.04)]
    [InlineData(512, 768, 8, 4, 2, "-np 2 -c 4096 -ctk q8_0 -ctv q8_0", 4.25, 11.55)]
    public void Estimate_MeasuredServer_BuffersAreItsOwn(int width, int inner, int heads, int keyHeads, int layers, string arguments, double cache, double compute)
    {
        var estimate = MemoryEstimator.Estimate(Model(width, inner, heads, keyHeads, layers), Parse(arguments), hasGpu: false);

        Assert.Equal(cache * MiB, estimate.CacheBytes, MiB / 16.0);
        Assert.InRange(estimate.ComputeBytes, compute * MiB * 0.86, compute * MiB * 1.05);
    }

    [Theory]
    [InlineData("-np 2 -c 4096", 16 + 6)]
    [InlineData("-np 2 -c 4096 --swa-full", 16 + 16)]
    [InlineData("-np 1 -c 512", 2 + 2)]
    [InlineData("-np 4 -c 8192 -kvu", 32 + 6)]
    public void Estimate_WindowedLayers_CacheTheirWindowOnly(string arguments, int mebibytes)
    {
        var model = Model(512, 1024, 8, 4, 8) with { SlidingWindow = 256, WindowedLayers = 4 };
        Assert.Equal(mebibytes * MiB, MemoryEstimator.Estimate(model, Parse(arguments), hasGpu: false).CacheBytes);
    }

    [Fact]
    public void Estimate_RepackedWeights_AreThereTwiceUnlessToldOtherwise()
    {
        var model = Model(512, 1024, 8, 4, 8) with { TensorBytes = 100 * MiB, RepackedBytes = 90 * MiB };
        long Weights(string arguments) => MemoryEstimator.Estimate(model, Parse(arguments), hasGpu: false).WeightBytes / MiB;

        Assert.Equal((190, 190, 100), (Weights(""), Weights("--load-mode mmap"), Weights("--no-repack")));
        Assert.Equal((100, 100), (Weights("--no-mmap"), Weights("-lm none")));
    }

    [Theory]
    [InlineData("", false, 0)]
    [InlineData("", true, 100)]
    [InlineData("-ngl 0", true, 0)]
    [InlineData("-ngl all", false, 100)]
    [InlineData("-ngl 99", false, 100)]
    [InlineData("-ngl 8", false, 80)]
    public void Estimate_GpuLayers_MoveWeightsAndCache(string arguments, bool hasGpu, int percentOfLayers)
    {
        var model = Model(512, 1024, 8, 4, 9) with { TensorBytes = 120 * MiB, LayerBytes = 100 * MiB };
        var estimate = MemoryEstimator.Estimate(model, Parse(arguments + " -c 4096 -np 1"), hasGpu);

        Assert.Equal(percentOfLayers == 100 ? 120 : percentOfLayers, estimate.GpuWeightBytes / MiB);
        Assert.Equal(120 * MiB, estimate.GpuWeightBytes + estimate.WeightBytes);
        Assert.Equal(estimate.CacheBytes * percentOfLayers / 100.0, estimate.GpuCacheBytes, 1.0);
        Assert.Equal(estimate.TotalBytes, estimate.RamBytes + estimate.GpuBytes);
    }

    [Fact]
    public void Estimate_PromptCache_IsToldApart()
    {
        var model = Model(512, 1024, 8, 4, 8);
        Assert.Equal(64 * MiB, MemoryEstimator.Estimate(model, Parse("--cache-ram 64"), hasGpu: false).PromptCacheBytes);
        Assert.Equal(long.MaxValue, MemoryEstimator.Estimate(model, Parse("--cache-ram -1"), hasGpu: false).PromptCacheBytes);
    }

    [Fact]
    public void With_ProjectorAndDraft_BringTheirWeights()
    {
        var model = Model(512, 1024, 8, 4, 8);
        var alone = MemoryEstimator.Estimate(model, Parse("-c 4096 -np 2"), hasGpu: false);
        var both = alone.With(model with { Architecture = "clip", Layers = 0, KeyValueHeads = [], TensorBytes = 50 * MiB }, Parse("-c 4096 -np 2"), hasGpu: false);
        Assert.Equal(alone.RamBytes + (50 * MiB), both.RamBytes);
    }

    [Theory]
    [InlineData("a command", ReplicaKind.Command, new string[0], "MemoryBytes")]
    [InlineData("no file", ReplicaKind.LlamaServer, new[] { "-hf", "org/model" }, "name no local model file")]
    [InlineData("a missing file", ReplicaKind.LlamaServer, new[] { "-m", "/nowhere/model.gguf" }, "/nowhere/model.gguf can't be sized")]
    public void OfReplica_NotToBeKnown_SaysWhy(string what, ReplicaKind kind, string[] args, string why)
    {
        var (estimate, unknown) = ReplicaMemory.Estimate(new() { Model = what, Kind = kind, Executable = "x", Args = args }, gpus: []);
        Assert.Null(estimate);
        Assert.Contains(why, unknown, StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_EnvironmentAndSpellings_CountAsTheServerCountsThem()
    {
        var environment = new Dictionary<string, string?> { ["LLAMA_ARG_CTX_SIZE"] = "8192", ["LLAMA_ARG_N_PARALLEL"] = "3" };
        var arguments = LlamaArguments.Parse(["--ctx_size", "1024", "-c", "2048", "-np", "x", "--lora", "a", "--lora", "b", "-fa", "off"], environment);

        Assert.Equal((2048, null, false), (arguments.ContextSize, arguments.Slots, arguments.FlashAttends)); // the last one, though no number
        Assert.Equal(["a", "b"], arguments.AdapterFiles);
        Assert.Equal(3, LlamaArguments.Parse([], environment).Slots);
    }

    private static GgufHeader Model(int width, int inner, int heads, int keyHeads, int layers) => new()
    {
        Architecture = "llama",
        Layers = layers,
        Embedding = width,
        FeedForward = inner,
        Heads = heads,
        KeyValueHeads = [.. Enumerable.Repeat(keyHeads, layers)],
        KeyLength = width / heads,
        ValueLength = width / heads,
        ContextLength = 32768,
        Vocabulary = 2048,
        TensorBytes = 0,
    };

    private static LlamaArguments Parse(string arguments) =>
        LlamaArguments.Parse([.. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)], ImmutableDictionary<string, string?>.Empty);
}
