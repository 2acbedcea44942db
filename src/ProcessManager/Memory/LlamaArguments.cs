using System.Collections.Immutable;
using System.Globalization;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>What of llama-server's arguments decides how much memory it takes. Values are as it would take them, defaults included.</summary>
public sealed record LlamaArguments
{
    private static readonly Flag Context = new("--ctx-size", ["-c"], "LLAMA_ARG_CTX_SIZE");
    private static readonly Flag Parallel = new("--parallel", ["-np", "--n-parallel"], "LLAMA_ARG_N_PARALLEL");
    private static readonly Flag UnifiedOn = new("--kv-unified", ["-kvu"], "LLAMA_ARG_KV_UNIFIED");
    private static readonly Flag UnifiedOff = new("--no-kv-unified", ["-no-kvu"], "LLAMA_ARG_NO_KV_UNIFIED");
    private static readonly Flag KeyType = new("--cache-type-k", ["-ctk"], "LLAMA_ARG_CACHE_TYPE_K");
    private static readonly Flag ValueType = new("--cache-type-v", ["-ctv"], "LLAMA_ARG_CACHE_TYPE_V");
    private static readonly Flag Batch = new("--batch-size", ["-b"], "LLAMA_ARG_BATCH");
    private static readonly Flag MicroBatch = new("--ubatch-size", ["-ub"], "LLAMA_ARG_UBATCH");
    private static readonly Flag FlashAttention = new("--flash-attn", ["-fa"], "LLAMA_ARG_FLASH_ATTN");
    private static readonly Flag ThreadsHttp = new("--threads-http", [], "LLAMA_ARG_THREADS_HTTP");
    private static readonly Flag GpuLayersFlag = new("--n-gpu-layers", ["-ngl", "--gpu-layers"], "LLAMA_ARG_N_GPU_LAYERS");
    private static readonly Flag DevicesFlag = new("--device", ["-dev"], "LLAMA_ARG_DEVICE");
    private static readonly Flag SplitModeFlag = new("--split-mode", ["-sm"], "LLAMA_ARG_SPLIT_MODE");
    private static readonly Flag MainGpuFlag = new("--main-gpu", ["-mg"], "LLAMA_ARG_MAIN_GPU");
    private static readonly Flag TensorSplitFlag = new("--tensor-split", ["-ts"], "LLAMA_ARG_TENSOR_SPLIT");
    private static readonly Flag NoMap = new("--no-mmap", [], "LLAMA_ARG_NO_MMAP");
    private static readonly Flag LoadMode = new("--load-mode", ["-lm"], "LLAMA_ARG_LOAD_MODE");
    private static readonly Flag NoRepack = new("--no-repack", ["-nr"], "LLAMA_ARG_NO_REPACK");
    private static readonly Flag SwaFull = new("--swa-full", [], "LLAMA_ARG_SWA_FULL");
    private static readonly Flag NoKvOffload = new("--no-kv-offload", ["-nkvo"], "LLAMA_ARG_NO_KV_OFFLOAD");
    private static readonly Flag CacheRam = new("--cache-ram", ["-cram"], "LLAMA_ARG_CACHE_RAM");
    private static readonly Flag Checkpoints = new("--ctx-checkpoints", ["-ctxcp", "--swa-checkpoints"], "LLAMA_ARG_CTX_CHECKPOINTS");
    private static readonly Flag ModelFlag = new("--model", ["-m"], "LLAMA_ARG_MODEL");
    private static readonly Flag ProjectorFlag = new("--mmproj", ["-mm"], "LLAMA_ARG_MMPROJ");
    private static readonly Flag DraftFlag = new("--spec-draft-model", ["-md", "--model-draft"], "LLAMA_ARG_SPEC_DRAFT_MODEL");
    private static readonly Flag Lora = new("--lora", [], "LLAMA_ARG_LORA");

    /// <summary>Tokens of context of all slots together; 0: what the model was made for.</summary>
    public int ContextSize { get; init; }

    /// <summary>Parallel slots; null: the server's own choice, which is 4 with one cache for all.</summary>
    public int? Slots { get; init; }

    /// <summary>One cache for all slots; null: only when the server chooses the slots.</summary>
    public bool? Unified { get; init; }

    /// <summary>Bits of one number of a key in the cache.</summary>
    public double KeyBits { get; init; } = 16;

    /// <summary>Bits of one number of a value in the cache.</summary>
    public double ValueBits { get; init; } = 16;

    /// <summary>Tokens that are computed at once.</summary>
    public int ComputeBatch { get; init; } = 512;

    /// <summary>False when flash attention is switched off: then the products of all keys and queries are held.</summary>
    public bool FlashAttends { get; init; } = true;

    /// <summary>Threads that serve HTTP.</summary>
    public int HttpThreads { get; init; } = 16;

    /// <summary>Layers on the GPU; null: as many as fit, if there is one.</summary>
    public int? GpuLayers { get; init; }

    /// <summary>GPUs that it may use, by their names; null: all.</summary>
    public string? Devices { get; init; }

    /// <summary>How it spreads over several GPUs: <c>none</c> is one of them; null: the server's own choice, which is by layers.</summary>
    public string? SplitMode { get; init; }

    /// <summary>The GPU that is used alone.</summary>
    public int MainGpu { get; init; }

    /// <summary>Proportions of the GPUs; empty: by their memory.</summary>
    public ImmutableArray<double> TensorSplit { get; init; } = [];

    /// <summary>Weights are mapped from their file.</summary>
    public bool MapsWeights { get; init; } = true;

    /// <summary>Weights are laid out for the CPU, which needs a copy of them.</summary>
    public bool Repacks { get; init; } = true;

    /// <summary>Windowed layers cache the whole context.</summary>
    public bool FullWindows { get; init; }

    /// <summary>The cache lies where the layers are.</summary>
    public bool OffloadsCache { get; init; } = true;

    /// <summary>Most MiB of old prompts that are kept in RAM; -1: no limit.</summary>
    public int PromptCacheMiB { get; init; } = 8192;

    /// <summary>Most states of windowed and recurrent layers that are kept for each slot.</summary>
    public int CheckpointsPerSlot { get; init; } = 32;

    /// <summary>The model's file; null when none is named (a repository, say).</summary>
    public string? ModelFile { get; init; }

    /// <summary>The projector's file.</summary>
    public string? ProjectorFile { get; init; }

    /// <summary>The draft model's file.</summary>
    public string? DraftFile { get; init; }

    /// <summary>Files of adapters.</summary>
    public ImmutableArray<string> AdapterFiles { get; init; } = [];

    /// <summary>Reads the arguments that a server is started with. What can't be read has its default: the server will complain.</summary>
    public static LlamaArguments Parse(ImmutableArray<string> arguments, IReadOnlyDictionary<string, string?> environment)
    {
        var given = new FlagArguments(arguments, environment);
        int? Number(Flag flag) => int.TryParse(given.ValueOf(flag), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null;

        return new LlamaArguments
        {
            ContextSize = Math.Max(0, Number(Context) ?? 0),
            Slots = Number(Parallel) is > 0 and <= 4096 and var slots ? slots : null,
            Unified = given.Has(UnifiedOff) ? false : given.Has(UnifiedOn) ? true : null,
            KeyBits = BitsOf(given.ValueOf(KeyType)),
            ValueBits = BitsOf(given.ValueOf(ValueType)),
            ComputeBatch = Math.Clamp(Math.Min(Number(Batch) ?? 2048, Number(MicroBatch) ?? 512), 1, 1 << 20),
            FlashAttends = given.ValueOf(FlashAttention) is not ("off" or "0" or "false"),
            HttpThreads = Math.Clamp(Number(ThreadsHttp) ?? 16, 1, 1 << 16),
            GpuLayers = given.ValueOf(GpuLayersFlag) switch
            {
                null or "auto" or "-1" => null,
                "all" => int.MaxValue,
                var text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var layers) ? layers : null,
            },
            Devices = given.ValueOf(DevicesFlag),
            SplitMode = given.ValueOf(SplitModeFlag),
            MainGpu = Number(MainGpuFlag) ?? 0,
            TensorSplit = Proportions(given.ValueOf(TensorSplitFlag)),
            MapsWeights = !given.Has(NoMap) && given.ValueOf(LoadMode) is (null or "auto" or "mmap" or "mmap+mlock"),
            Repacks = !given.Has(NoRepack),
            FullWindows = given.Has(SwaFull),
            OffloadsCache = !given.Has(NoKvOffload),
            PromptCacheMiB = Number(CacheRam) ?? 8192,
            CheckpointsPerSlot = Math.Clamp(Number(Checkpoints) ?? 32, 0, 1 << 16),
            ModelFile = given.ValueOf(ModelFlag),
            ProjectorFile = given.ValueOf(ProjectorFlag),
            DraftFile = given.ValueOf(DraftFlag),
            AdapterFiles = given.ValuesOf(Lora),
        };
    }

    private static ImmutableArray<double> Proportions(string? list)
    {
        var proportions = ImmutableArray.CreateBuilder<double>();
        foreach (var text in (list ?? "").Split([',', '/'], StringSplitOptions.RemoveEmptyEntries))
        {
            if (!double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var proportion))
            {
                return [];
            }

            proportions.Add(proportion);
        }

        return proportions.ToImmutable();
    }

    private static double BitsOf(string? type) => type switch
    {
        "f32" => 32,
        "q8_0" => 8.5,
        "q5_1" => 6,
        "q5_0" => 5.5,
        "q4_1" => 5,
        "q4_0" or "iq4_nl" => 4.5,
        _ => 16,
    };
}
