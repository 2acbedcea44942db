using System.Collections.Frozen;

namespace LlmGateway.TinyModel;

/// <summary>The sizes of a model of the Llama architecture; with a sliding window of the Gemma 2 architecture, every second layer of which has it.</summary>
internal sealed record ModelShape(int Embedding, int Layers, int Heads, int KeyValueHeads, int FeedForward, int Vocabulary, int Context = 32768)
{
    public static FrozenDictionary<string, ModelShape> Presets { get; } = new Dictionary<string, ModelShape>
    {
        ["tiny"] = new(Embedding: 64, Layers: 2, Heads: 4, KeyValueHeads: 4, FeedForward: 128, Vocabulary: 2048),
        ["small"] = new(Embedding: 256, Layers: 4, Heads: 8, KeyValueHeads: 4, FeedForward: 768, Vocabulary: 2048),
        ["medium"] = new(Embedding: 768, Layers: 8, Heads: 12, KeyValueHeads: 4, FeedForward: 2048, Vocabulary: 4096),
        ["slow"] = new(Embedding: 1024, Layers: 20, Heads: 16, KeyValueHeads: 16, FeedForward: 3072, Vocabulary: 4096),
    }.ToFrozenDictionary();

    /// <summary>Feed-forward networks of which <see cref="ExpertsUsed"/> work on each token; 0: one, as in most models.</summary>
    public int Experts { get; init; }

    public int ExpertsUsed { get; init; } = 2;

    /// <summary>Tokens that a layer with a window looks back; 0: all layers look at everything.</summary>
    public int SlidingWindow { get; init; }

    /// <summary>How the large tensors are stored.</summary>
    public TensorKind Weights { get; init; } = TensorKind.F16;

    public string Architecture => SlidingWindow > 0 ? "gemma2" : "llama";

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

        if (Embedding % Weights.Block().Numbers != 0 || FeedForward % Weights.Block().Numbers != 0)
        {
            yield return $"--n-embd {Embedding} and --ff {FeedForward} must be multiples of {Weights.Block().Numbers} for weights of {Weights}";
        }

        if (Experts < 0 || SlidingWindow < 0 || (Experts > 0 && (ExpertsUsed < 1 || ExpertsUsed > Experts || SlidingWindow > 0)))
        {
            yield return $"--experts {Experts} with {ExpertsUsed} used and --sliding-window {SlidingWindow} do not go together";
        }

        if (Vocabulary < TinyModel.Vocabulary.SmallestSize)
        {
            yield return $"--vocab {Vocabulary} must be at least {TinyModel.Vocabulary.SmallestSize}";
        }
    }
}
