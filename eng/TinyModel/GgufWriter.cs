using System.Text;

namespace LlmGateway.TinyModel;

/// <summary>ggml's types of tensor that are written here.</summary>
internal enum TensorKind
{
    F32 = 0,
    F16 = 1,
    Q40 = 2,
    Q80 = 8,
    Q4K = 12,
}

/// <summary>How ggml lays numbers out: blocks of so many of them, in so many bytes.</summary>
internal static class TensorKinds
{
    public static (int Numbers, int Bytes) Block(this TensorKind kind) => kind switch
    {
        TensorKind.F32 => (1, 4),
        TensorKind.F16 => (1, 2),
        TensorKind.Q40 => (32, 18),
        TensorKind.Q80 => (32, 34),
        TensorKind.Q4K => (256, 144),
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    public static int RowBytes(this TensorKind kind, int columns) => checked(columns / kind.Block().Numbers * kind.Block().Bytes);
}

/// <summary>A tensor to be written: its shape has the fastest-moving dimension first, and its bytes are made when they are needed.</summary>
internal sealed record Tensor(string Name, TensorKind Kind, long[] Shape, Action<Span<byte>> Fill)
{
    public int Bytes => checked((int)Shape.Skip(1).Aggregate((long)Kind.RowBytes((int)Shape[0]), (product, size) => product * size));
}

/// <summary>The GGUF container, version 3: header, metadata, tensor descriptions, then the tensors' bytes, each aligned.</summary>
internal sealed class GgufWriter
{
    public const int Alignment = 32;

    private const uint Magic = 0x46554747; // "GGUF"
    private const uint Version = 3;

    private readonly List<Action<BinaryWriter>> _pairs = [];
    private readonly List<Tensor> _tensors = [];

    private enum ValueKind
    {
        UInt32 = 4,
        Int32 = 5,
        Float32 = 6,
        Boolean = 7,
        String = 8,
        Array = 9,
    }

    public void Add(string key, string value) => Pair(key, ValueKind.String, writer => Text(writer, value));

    public void Add(string key, uint value) => Pair(key, ValueKind.UInt32, writer => writer.Write(value));

    public void Add(string key, float value) => Pair(key, ValueKind.Float32, writer => writer.Write(value));

    public void Add(string key, bool value) => Pair(key, ValueKind.Boolean, writer => writer.Write(value));

    public void Add(string key, IReadOnlyCollection<string> values) => Array(key, ValueKind.String, values, Text);

    public void Add(string key, IReadOnlyCollection<float> values) => Array(key, ValueKind.Float32, values, (writer, value) => writer.Write(value));

    public void Add(string key, IReadOnlyCollection<int> values) => Array(key, ValueKind.Int32, values, (writer, value) => writer.Write(value));

    public void Add(Tensor tensor) => _tensors.Add(tensor);

    public void WriteTo(Stream stream)
    {
        using var head = new MemoryStream();
        using var writer = new BinaryWriter(head);
        writer.Write(Magic);
        writer.Write(Version);
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_pairs.Count);
        foreach (var pair in _pairs)
        {
            pair(writer);
        }

        var offset = 0UL;
        foreach (var tensor in _tensors)
        {
            Text(writer, tensor.Name);
            writer.Write((uint)tensor.Shape.Length);
            foreach (var size in tensor.Shape)
            {
                writer.Write((ulong)size);
            }

            writer.Write((uint)tensor.Kind);
            writer.Write(offset);
            offset += (ulong)(tensor.Bytes + Padding(tensor.Bytes));
        }

        writer.Write(new byte[Padding(head.Length)]);
        head.WriteTo(stream);

        var buffer = new byte[_tensors.Max(tensor => tensor.Bytes + Padding(tensor.Bytes))];
        foreach (var tensor in _tensors)
        {
            var padded = buffer.AsSpan(0, tensor.Bytes + Padding(tensor.Bytes));
            padded[tensor.Bytes..].Clear();
            tensor.Fill(padded[..tensor.Bytes]);
            stream.Write(padded);
        }
    }

    private static int Padding(long length) => (int)(-length & (Alignment - 1));

    private static void Text(BinaryWriter writer, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private void Pair(string key, ValueKind kind, Action<BinaryWriter> write) => _pairs.Add(writer =>
    {
        Text(writer, key);
        writer.Write((uint)kind);
        write(writer);
    });

    private void Array<T>(string key, ValueKind kind, IReadOnlyCollection<T> values, Action<BinaryWriter, T> write) =>
        Pair(key, ValueKind.Array, writer =>
        {
            writer.Write((uint)kind);
            writer.Write((ulong)values.Count);
            foreach (var value in values)
            {
                write(writer, value);
            }
        });
}
