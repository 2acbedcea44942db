using System.Collections.Frozen;

namespace LlmGateway.TinyModel;

/// <summary>The sizes of a model of the Llama architecture.</summary>
internal sealed record ModelShape(int Embedding, int Layers, int Heads, int KeyValueHeads, int FeedForward, int Vocabulary, int Context = 32768)
{
    public static FrozenDictionary<string, ModelShape> Presets { get; } = new Dictionary<string, ModelShape>
    {
        ["tiny"] = new(Embedding: 64, Layers: 2, Heads: 4, KeyValueHeads: 4, FeedForward: 128, Vocabulary: 2048),
        ["small"] = new(Embedding: 256, Layers: 4, Heads: 8, KeyValueHeads: 4, FeedForward: 768, Vocabulary: 2048),
        ["medium"] = new(Embedding: 768, Layers: 8, Heads: 12, KeyValueHeads: 4, FeedForward: 2048, Vocabulary: 4096),
        ["slow"] = new(Embedding: 1024, Layers: 20, Heads: 16, KeyValueHeads: 16, FeedForward: 3072, Vocabulary: 4096),
    }.ToFrozenDictionary();

    public int HeadSize => Embedding / Heads;

    public int KeyValueSize => HeadSize * KeyValueHeads;

    /// <summary>What llama.cpp would refuse, or compute nonsense with; empty for a good shape.</summary>
    public IEnumerable<string> Faults()
    {
        if (new[] { Embedding, Layers, Heads, KeyValueHeads, FeedForward, Context }.Any(size => size <= 0))
        {
            yield return "every size must be above 0";
            yield break;
        }

        if (Embedding % 32 != 0 || FeedForward % 32 != 0)
        {
            yield return $"--n-embd {Embedding} and --ff {FeedForward} must be multiples of 32";
        }

        if (Embedding % Heads != 0 || HeadSize % 2 != 0)
        {
            yield return $"--heads {Heads} must divide --n-embd {Embedding} into even sizes";
        }

        if (Heads % KeyValueHeads != 0)
        {
            yield return $"--kv-heads {KeyValueHeads} must divide --heads {Heads}";
        }

        if (Vocabulary < TinyModel.Vocabulary.SmallestSize)
        {
            yield return $"--vocab {Vocabulary} must be at least {TinyModel.Vocabulary.SmallestSize}";
        }
    }
}
