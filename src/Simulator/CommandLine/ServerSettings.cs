namespace LlmGateway.Simulator.CommandLine;

/// <summary>What the command line and the <c>LLAMA_*</c> environment asked for; the names are llama-server's.</summary>
internal sealed record ServerSettings
{
    /// <summary>IP address or host name to listen on, or the path of a Unix socket ending in <c>.sock</c>. <value>Default 127.0.0.1.</value></summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>TCP port; 0 lets the kernel choose. <value>0 to 65535, default 9931.</value></summary>
    public int Port { get; init; } = 9931;

    /// <summary>Let several processes bind the same port (<c>SO_REUSEPORT</c>).</summary>
    public bool ReusePort { get; init; }

    /// <summary>Slots; -1 is automatic: four slots that share one context. <value>Default -1.</value></summary>
    public int Parallel { get; init; } = -1;

    /// <summary>Path of the model; it must be a GGUF file when given. <value>Default none: nothing is read.</value></summary>
    public string? Model { get; init; }

    /// <summary>Names of the model; the alphabetically first one is its id.</summary>
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>Context of all slots together, in tokens; 0 takes the model's. <value>Default 0.</value></summary>
    public int ContextSize { get; init; }

    /// <summary>Tokens of a prompt that are processed without looking up: nothing is cancelled within one batch. <value>Default 2048.</value></summary>
    public int BatchSize { get; init; } = 2048;

    /// <summary>Most tokens of one embedding input. <value>Default 512.</value></summary>
    public int PhysicalBatchSize { get; init; } = 512;

    /// <summary>Most tokens of an answer; -1 has no limit. <value>Default -1.</value></summary>
    public int Predict { get; init; } = -1;

    /// <summary>Memory for the prompts of evicted conversations, in MiB; 0 is none. <value>Default 8192.</value></summary>
    public int CacheRamMib { get; init; } = 8192;

    /// <summary>Reuse what a slot already holds of a prompt. <value>Default true.</value></summary>
    public bool CachePrompt { get; init; } = true;

    /// <summary>Least share of a prompt that a slot must hold to be preferred. <value>Default 0.1.</value></summary>
    public double SlotPromptSimilarity { get; init; } = 0.1;

    /// <summary>Silence of a stream after which a comment is sent, in seconds; -1 is never. <value>Default 30.</value></summary>
    public int SsePingSeconds { get; init; } = 30;

    /// <summary>Answer <c>/metrics</c>.</summary>
    public bool Metrics { get; init; }

    /// <summary>Answer <c>/slots</c>. <value>Default true.</value></summary>
    public bool Slots { get; init; } = true;

    /// <summary>Answer the embedding endpoints.</summary>
    public bool Embeddings { get; init; }

    /// <summary>Answer the reranking endpoints.</summary>
    public bool Rerank { get; init; }

    /// <summary>Accepted keys; none means that no key is needed.</summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = [];

    /// <summary>Log threshold: 1 errors, 2 warnings, 3 information. <value>Default 3.</value></summary>
    public int Verbosity { get; init; } = 3;

    /// <summary>Context that the pretended model was trained with, in tokens.</summary>
    public const int TrainedContext = 32768;

    /// <summary>Number of slots.</summary>
    public int SlotCount => Parallel < 0 ? 4 : Parallel;

    /// <summary>All slots draw from one context.</summary>
    public bool UnifiedContext => Parallel < 0;

    /// <summary>Context of one slot, in tokens.</summary>
    public int SlotContext
    {
        get
        {
            var whole = ContextSize == 0 ? TrainedContext : ContextSize;
            return UnifiedContext ? whole : whole / SlotCount;
        }
    }

    /// <summary>The id that answers carry.</summary>
    public string ModelId => Aliases.Count > 0 ? Aliases[0] : Model ?? "simulated";
}
