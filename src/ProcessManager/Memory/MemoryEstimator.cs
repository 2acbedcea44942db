namespace LlmGateway.ProcessManager.Memory;

/// <summary>Says from a model's header and a server's arguments how much memory it will take. Pure.</summary>
/// <remarks>
/// Weights and cache follow from the file. What is computed with, and the program's own share, were measured on llama.cpp's server (CPU,
/// flash attention): with U tokens computed at once, each of 4 bytes,
/// <code>
/// attention   U × (5 × width + keys + values)       without flash attention U × (6 × width + keys + values + heads × context)
/// feed-forward U × (5 × width + 3 × inner width × experts used)        2 × where it is less than twice the width
/// mask        U × context of a slot × 2 bytes       without flash attention 4 bytes; once more for windowed layers
/// program     23 MiB, 180 bytes a token of the vocabulary, 44 KiB a thread of HTTP, 150 KiB a slot
/// </code>
/// The larger of attention and feed-forward counts, since their memory is used again. A test holds the sum against the resident memory of
/// the real server for models of ten shapes, within 10 %.
/// </remarks>
public static class MemoryEstimator
{
    private const int ServersOwnSlots = 4;
    private const int CellsStep = 256;
    private const int LargestContext = 1 << 28;
    private const long ProgramBytes = 23_100L * 1024;
    private const long BytesPerToken = 180;
    private const long BytesPerThread = 44 * 1024;
    private const long BytesPerSlot = 150 * 1024;

    /// <summary>Estimates one process.</summary>
    /// <param name="model">The model.</param>
    /// <param name="arguments">How it is served.</param>
    /// <param name="hasGpu">Layers go to a GPU when the arguments leave it to the server.</param>
    public static MemoryEstimate Estimate(GgufHeader model, LlamaArguments arguments, bool hasGpu)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(arguments);
        var cells = Cells.Of(model, arguments);
        var offloaded = model.Layers == 0 ? 0 : Math.Min(arguments.GpuLayers ?? (hasGpu ? int.MaxValue : 0), model.Layers + 1) / (double)(model.Layers + 1);
        var gpuWeights = (long)(offloaded * model.LayerBytes) + (offloaded >= 1 ? model.TensorBytes - model.LayerBytes : 0);
        var copied = arguments.Repacks && arguments.MapsWeights ? (long)((1 - offloaded) * model.RepackedBytes) : 0;
        var (cache, compute) = (CacheBytes(model, arguments, cells), ComputeBytes(model, arguments, cells));
        return new MemoryEstimate
        {
            WeightBytes = model.TensorBytes - gpuWeights + copied,
            GpuWeightBytes = gpuWeights,
            CacheBytes = cache,
            GpuCacheBytes = arguments.OffloadsCache ? (long)(offloaded * cache) : 0,
            ComputeBytes = compute,
            GpuComputeBytes = offloaded > 0 ? (long)(offloaded * compute) : 0,
            OverheadBytes = ProgramBytes + (BytesPerToken * model.Vocabulary) + (BytesPerThread * arguments.HttpThreads) + (BytesPerSlot * cells.Slots),
            PromptCacheBytes = PromptCacheBytes(model, arguments, cells),
        };
    }

    /// <summary>Adds what comes with a model: a projector, an adapter, a draft model. They bring weights, and a draft model its own cache.</summary>
    public static MemoryEstimate With(this MemoryEstimate estimate, GgufHeader companion, LlamaArguments arguments, bool hasGpu)
    {
        ArgumentNullException.ThrowIfNull(estimate);
        var own = Estimate(companion, arguments with { MapsWeights = false }, hasGpu);
        return estimate with
        {
            WeightBytes = estimate.WeightBytes + own.WeightBytes,
            GpuWeightBytes = estimate.GpuWeightBytes + own.GpuWeightBytes,
            CacheBytes = estimate.CacheBytes + own.CacheBytes,
            GpuCacheBytes = estimate.GpuCacheBytes + own.GpuCacheBytes,
            ComputeBytes = estimate.ComputeBytes + own.ComputeBytes,
            GpuComputeBytes = estimate.GpuComputeBytes + own.GpuComputeBytes,
        };
    }

    private static long CacheBytes(GgufHeader model, LlamaArguments arguments, Cells cells)
    {
        var (full, windowed) = AttentionBytesPerCell(model, arguments);
        var recurrent = model.KeyValueHeads.Count(heads => heads == 0);
        return (full * cells.All) + (windowed * cells.Windowed) + (recurrent * model.RecurrentState * sizeof(float) * cells.Slots);
    }

    /// <summary>Bytes of one token in all layers that look at everything, and in all that have a window.</summary>
    private static (long Full, long Windowed) AttentionBytesPerCell(GgufHeader model, LlamaArguments arguments)
    {
        // Which layers have the window matters only where heads differ from layer to layer: then their mean is near enough.
        var heads = model.KeyValueHeads.Sum(count => (long)count);
        var all = heads * ((model.KeyLength * arguments.KeyBits) + (model.ValueLength * arguments.ValueBits)) / 8;
        var share = model.Layers == 0 ? 0 : (double)model.WindowedLayers / model.Layers;
        return ((long)(all * (1 - share)), (long)(all * share));
    }

    private static long ComputeBytes(GgufHeader model, LlamaArguments arguments, Cells cells)
    {
        if (model.Layers == 0 || model.KeyValueHeads.IsEmpty)
        {
            return 0;
        }

        double batch = Math.Min(arguments.ComputeBatch, cells.All);
        double keysAndValues = (double)model.KeyValueHeads.Max() * (model.KeyLength + model.ValueLength);
        double inner = (double)model.FeedForward * Math.Max(1, model.ExpertsUsed);
        var feedForward = (5.0 * model.Embedding) + ((inner < 2.0 * model.Embedding ? 2 : 3) * inner);
        var attention = arguments.FlashAttends
            ? (5.0 * model.Embedding) + keysAndValues
            : (6.0 * model.Embedding) + keysAndValues + ((double)model.Heads * cells.PerSlot);
        var mask = (double)(cells.PerSlot + (model.WindowedLayers > 0 ? cells.WindowedPerSlot : 0)) * (arguments.FlashAttends ? 2 : 4);
        return (long)(batch * ((sizeof(float) * Math.Max(feedForward, attention)) + mask));
    }

    private static long PromptCacheBytes(GgufHeader model, LlamaArguments arguments, Cells cells)
    {
        if (arguments.PromptCacheMiB < 0)
        {
            return long.MaxValue;
        }

        var (_, windowed) = AttentionBytesPerCell(model, arguments);
        var recurrent = model.KeyValueHeads.Count(heads => heads == 0) * model.RecurrentState * sizeof(float);
        var checkpoint = arguments.FullWindows ? 0 : recurrent + (windowed * Math.Min(model.SlidingWindow, cells.PerSlot));
        return ((long)arguments.PromptCacheMiB << 20) + (checkpoint * arguments.CheckpointsPerSlot * cells.Slots);
    }

    /// <summary>Places for tokens in the cache.</summary>
    /// <param name="Slots">Slots of the server.</param>
    /// <param name="PerSlot">Places that one slot sees.</param>
    /// <param name="All">Places in layers that look at everything.</param>
    /// <param name="WindowedPerSlot">Places that one slot sees in layers with a window.</param>
    /// <param name="Windowed">Places in layers with a window.</param>
    private readonly record struct Cells(int Slots, long PerSlot, long All, long WindowedPerSlot, long Windowed)
    {
        public static Cells Of(GgufHeader model, LlamaArguments arguments)
        {
            var slots = arguments.Slots ?? ServersOwnSlots;
            var unified = arguments.Unified ?? arguments.Slots is null;
            var given = Math.Min(arguments.ContextSize, LargestContext);
            var native = Math.Min(model.ContextLength, LargestContext);
            var perSlot = Step(given == 0 ? native : unified ? given : given / slots);
            var streams = unified ? 1 : slots;
            var window = (long)model.SlidingWindow * (unified ? slots : 1);
            var windowed = arguments.FullWindows ? perSlot : Math.Min(perSlot, Step(window + arguments.ComputeBatch));
            return new(slots, perSlot, perSlot * streams, windowed, windowed * streams);
        }

        private static long Step(long cells) => (cells + CellsStep - 1) / CellsStep * CellsStep;
    }
}
