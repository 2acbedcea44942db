using System.Buffers.Binary;
using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>The metadata of one file, as far as it tells sizes.</summary>
internal sealed class GgufMetadata
{
    /// <summary>No size in a header may be larger: products of three of them fit 64 bits.</summary>
    private const long Most = 1 << 20;

    /// <summary>Arrays of at most this many numbers are kept: one number for each layer.</summary>
    private const ulong MostKept = 4096;

    /// <summary>Every how many-th layer looks at everything, where llama.cpp knows it by architecture and the file does not tell.</summary>
    private static readonly ImmutableDictionary<string, int> Patterns = new (string Architecture, int Every)[]
    {
        ("gemma2", 2), ("gemma3", 6), ("gemma3n", 5), ("gemma-embedding", 6), ("gpt-oss", 2), ("cohere2", 4), ("llama4", 4), ("olmo2", 4), ("exaone4", 4), ("smallthinker", 4),
    }.ToImmutableDictionary(one => one.Architecture, one => one.Every);

    /// <summary>llama.cpp's names of mixtures, by <c>general.file_type</c>.</summary>
    private static readonly ImmutableDictionary<long, string> FileTypes = new (long Type, string Name)[]
    {
        (0, "F32"), (1, "F16"), (2, "Q4_0"), (3, "Q4_1"), (7, "Q8_0"), (8, "Q5_0"), (9, "Q5_1"), (10, "Q2_K"), (11, "Q3_K_S"), (12, "Q3_K_M"), (13, "Q3_K_L"),
        (14, "Q4_K_S"), (15, "Q4_K_M"), (16, "Q5_K_S"), (17, "Q5_K_M"), (18, "Q6_K"), (19, "IQ2_XXS"), (20, "IQ2_XS"), (21, "Q2_K_S"), (22, "IQ3_XS"), (23, "IQ3_XXS"),
        (24, "IQ1_S"), (25, "IQ4_NL"), (26, "IQ3_S"), (27, "IQ3_M"), (28, "IQ2_S"), (29, "IQ2_M"), (30, "IQ4_XS"), (31, "IQ1_M"), (32, "BF16"), (36, "TQ1_0"),
        (37, "TQ2_0"), (38, "MXFP4"),
    }.ToImmutableDictionary(one => one.Type, one => one.Name);

    private readonly Dictionary<string, ImmutableArray<long>> _numbers = [];
    private readonly Dictionary<string, string> _texts = [];
    private long _tokens;

    private enum Kind : uint
    {
        UInt8, Int8, UInt16, Int16, UInt32, Int32, Float32, Bool, String, Array, UInt64, Int64, Float64,
    }

    /// <summary>Tensors begin at multiples of this.</summary>
    public long Alignment => Number("general.alignment", 32) is var alignment and > 0 and <= 1 << 16 && long.IsPow2(alignment)
        ? alignment
        : throw new GgufException("Its alignment makes no sense.");

    public static GgufMetadata Read(GgufStream stream, int pairs)
    {
        var metadata = new GgufMetadata();
        for (var i = 0; i < pairs; i++)
        {
            metadata.ReadPair(stream);
        }

        return metadata;
    }

    public GgufHeader ToHeader(GgufTensors tensors)
    {
        var architecture = _texts.GetValueOrDefault("general.architecture") is { Length: > 0 and <= 64 } text
            ? text
            : throw new GgufException("It does not tell its architecture.");
        long Of(string key, long otherwise = 0) => Size($"{architecture}.{key}", otherwise);

        var (layers, embedding, heads) = ((int)Of("block_count"), (int)Of("embedding_length"), (int)Of("attention.head_count"));
        var headSize = heads > 0 ? embedding / heads : 0;
        var perLayer = KeyValueHeads(architecture, layers, heads);
        var window = (int)Of("attention.sliding_window");
        var experts = (int)Of("expert_count");
        return new GgufHeader
        {
            Architecture = architecture,
            Name = _texts.GetValueOrDefault("general.name"),
            Quantization = FileTypes.GetValueOrDefault(Number("general.file_type", -1)),
            Layers = layers,
            Embedding = embedding,
            FeedForward = (int)(experts > 0 ? Of("expert_feed_forward_length", Of("feed_forward_length")) : Of("feed_forward_length")),
            Heads = heads,
            KeyValueHeads = perLayer,
            KeyLength = (int)Of("attention.key_length", headSize),
            ValueLength = (int)Of("attention.value_length", headSize),
            ContextLength = (int)Math.Min(int.MaxValue, Number($"{architecture}.context_length", 0)),
            Vocabulary = (int)Math.Max(_tokens, Of("vocab_size")),
            Experts = experts,
            ExpertsUsed = (int)Of("expert_used_count"),
            SlidingWindow = window,
            WindowedLayers = window > 0 ? WindowedLayers(architecture, layers) : 0,
            RecurrentState = RecurrentState(Of),
            TensorBytes = tensors.Bytes,
            LayerBytes = tensors.LayerBytes,
            RepackedBytes = tensors.RepackedBytes,
            Parts = (int)Math.Clamp(Number("split.count", 1), 1, int.MaxValue),
        };
    }

    private static long RecurrentState(Func<string, long, long> of)
    {
        var (inner, state, conv, groups) = (of("ssm.inner_size", 0), of("ssm.state_size", 0), of("ssm.conv_kernel", 0), of("ssm.group_count", 0));
        return (inner * state) + (Math.Max(0, conv - 1) * (inner + (2 * groups * state)));
    }

    /// <summary>A layer whose file gives 0 heads (of a hybrid) keeps a state instead.</summary>
    private ImmutableArray<int> KeyValueHeads(string architecture, int layers, int heads)
    {
        if (!_numbers.TryGetValue($"{architecture}.attention.head_count_kv", out var given))
        {
            given = [heads];
        }

        if (given.Any(count => count is < 0 or > Most) || (given.Length != 1 && given.Length < layers))
        {
            throw new GgufException("Its heads of keys and values make no sense.");
        }

        return layers > (int)MostKept
            ? throw new GgufException($"It claims {layers} layers.")
            : [.. Enumerable.Range(0, layers).Select(layer => (int)given[given.Length == 1 ? 0 : layer])];
    }

    private int WindowedLayers(string architecture, int layers)
    {
        var key = $"{architecture}.attention.sliding_window_pattern";
        var given = _numbers.GetValueOrDefault(key, []);
        if (given.Length > 1)
        {
            return given.Take(layers).Count(windowed => windowed != 0);
        }

        // A window that nobody knows the layers of is taken as none: more memory than needed, never less.
        var pattern = given is [> 0 and <= Most and var one] ? (int)one : Patterns.GetValueOrDefault(architecture, 1);
        return pattern == 1 ? 0 : Enumerable.Range(0, layers).Count(layer => layer % pattern < pattern - 1);
    }

    /// <summary>A number; the largest when it is given layer by layer.</summary>
    private long Number(string key, long otherwise) => _numbers.TryGetValue(key, out var values) && !values.IsEmpty ? values.Max() : otherwise;

    private long Size(string key, long otherwise) => Number(key, otherwise) is var size and >= 0 and <= Most
        ? size
        : throw new GgufException($"It says {key} = {Number(key, otherwise)}.");

    private void ReadPair(GgufStream stream)
    {
        var key = stream.Text();
        var kind = (Kind)stream.UInt32();
        switch (kind)
        {
            case Kind.String when key is "general.architecture" or "general.name":
                _texts[key] = stream.Text();
                break;
            case Kind.String:
                stream.SkipText();
                break;
            case Kind.Array:
                ReadArray(stream, key);
                break;
            default:
                if (Scalar(stream, kind) is { } number)
                {
                    _numbers[key] = [number];
                }

                break;
        }
    }

    private void ReadArray(GgufStream stream, string key)
    {
        var (kind, count) = ((Kind)stream.UInt32(), stream.UInt64());
        if (key == "tokenizer.ggml.tokens")
        {
            _tokens = (long)Math.Min(count, int.MaxValue);
        }

        if (kind is Kind.Array)
        {
            throw new GgufException("It holds arrays of arrays, which llama.cpp does not know.");
        }

        if (kind is Kind.String)
        {
            for (var i = 0UL; i < count; i++)
            {
                stream.SkipText();
            }

            return;
        }

        var size = (ulong)SizeOf(kind);
        if (count > GgufStream.MostBytes / size)
        {
            throw new GgufException("It ends in the middle of its header.");
        }

        if (count > MostKept)
        {
            stream.Skip(count * size);
            return;
        }

        var numbers = ImmutableArray.CreateBuilder<long>();
        for (var i = 0UL; i < count; i++)
        {
            if (Scalar(stream, kind) is { } number)
            {
                numbers.Add(number);
            }
        }

        _numbers[key] = numbers.ToImmutable();
    }

    /// <summary>Null for what is no whole number.</summary>
    private static long? Scalar(GgufStream stream, Kind kind)
    {
        var bytes = stream.Take(SizeOf(kind));
        return kind switch
        {
            Kind.UInt8 or Kind.Bool => bytes[0],
            Kind.Int8 => (sbyte)bytes[0],
            Kind.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            Kind.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
            Kind.UInt32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            Kind.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
            Kind.UInt64 => (long)Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(bytes), long.MaxValue),
            Kind.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes),
            _ => null,
        };
    }

    private static int SizeOf(Kind kind) => kind switch
    {
        Kind.UInt8 or Kind.Int8 or Kind.Bool => 1,
        Kind.UInt16 or Kind.Int16 => 2,
        Kind.UInt32 or Kind.Int32 or Kind.Float32 => 4,
        Kind.UInt64 or Kind.Int64 or Kind.Float64 => 8,
        _ => throw new GgufException($"It holds a value of unknown type {(uint)kind}."),
    };
}
