using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>What a GGUF file says about its model, without its weights. Sizes that the file does not tell are 0.</summary>
public sealed record GgufHeader
{
    /// <summary>Such as <c>llama</c>, <c>qwen3moe</c>; <c>clip</c> is the projector of a multimodal model.</summary>
    public required string Architecture { get; init; }

    /// <summary>The model's own name.</summary>
    public string? Name { get; init; }

    /// <summary>How the weights are stored, such as <c>Q4_K_M</c>; null when the file does not tell.</summary>
    public string? Quantization { get; init; }

    /// <summary>Layers (blocks).</summary>
    public int Layers { get; init; }

    /// <summary>Width of the model.</summary>
    public int Embedding { get; init; }

    /// <summary>Width of a feed-forward network; in a mixture of experts that of one expert. The widest, where layers differ.</summary>
    public int FeedForward { get; init; }

    /// <summary>Attention heads; the most, where layers differ.</summary>
    public int Heads { get; init; }

    /// <summary>Heads of keys and values, layer by layer: 0 for a layer without attention.</summary>
    public ImmutableArray<int> KeyValueHeads { get; init; } = [];

    /// <summary>Numbers of one head's key.</summary>
    public int KeyLength { get; init; }

    /// <summary>Numbers of one head's value.</summary>
    public int ValueLength { get; init; }

    /// <summary>Tokens of context that the model was made for.</summary>
    public int ContextLength { get; init; }

    /// <summary>Tokens of the vocabulary.</summary>
    public int Vocabulary { get; init; }

    /// <summary>Experts of a mixture; 0 when it is none.</summary>
    public int Experts { get; init; }

    /// <summary>Experts that work on each token.</summary>
    public int ExpertsUsed { get; init; }

    /// <summary>Tokens that a layer with a window looks back; 0 without windows.</summary>
    public int SlidingWindow { get; init; }

    /// <summary>Layers whose attention has the window.</summary>
    public int WindowedLayers { get; init; }

    /// <summary>Numbers (of 32 bits) that each layer without attention keeps for a sequence; 0 when every layer has attention.</summary>
    public long RecurrentState { get; init; }

    /// <summary>Bytes of all tensors of this file, with their padding.</summary>
    public required long TensorBytes { get; init; }

    /// <summary>The part of them that belongs to a layer and can move to a GPU with it.</summary>
    public long LayerBytes { get; init; }

    /// <summary>The part of them that llama.cpp lays out a second time for the CPU (Q4_0, Q4_K, IQ4_NL).</summary>
    public long RepackedBytes { get; init; }

    /// <summary>Files that the model is split into; 1 when it is not.</summary>
    public int Parts { get; init; } = 1;

    /// <summary>True for the projector of a multimodal model (<c>--mmproj</c>).</summary>
    public bool IsProjector => Architecture == "clip";
}
