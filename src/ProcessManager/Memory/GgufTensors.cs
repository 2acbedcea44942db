namespace LlmGateway.ProcessManager.Memory;

/// <summary>Sums over the tensors of one file.</summary>
/// <param name="Bytes">All of them, with their padding.</param>
/// <param name="LayerBytes">Those of layers.</param>
/// <param name="RepackedBytes">Those that llama.cpp lays out a second time for the CPU.</param>
internal readonly record struct GgufTensors(long Bytes, long LayerBytes, long RepackedBytes)
{
    private const uint MostDimensions = 8;

    private enum Type : uint
    {
        Q40 = 2,
        Q4K = 12,
        Iq4Nl = 20,
    }

    private readonly record struct Tensor(ulong Offset, bool IsOfLayer, bool IsRepacked);

    public static GgufTensors Read(GgufStream stream, int count, long alignment, long length)
    {
        var tensors = new List<Tensor>(Math.Min(count, 4096));
        for (var i = 0; i < count; i++)
        {
            var name = stream.Text();
            var dimensions = stream.UInt32();
            if (dimensions > MostDimensions)
            {
                throw new GgufException($"It claims a tensor of {dimensions} dimensions.");
            }

            var rows = 0UL;
            for (var dimension = 0; dimension < dimensions; dimension++)
            {
                rows = stream.UInt64() is var size && dimension == 1 ? size : rows;
            }

            var (type, offset) = ((Type)stream.UInt32(), stream.UInt64());

            // Looked up by token and not multiplied with, embeddings are used as they are.
            var repacked = type is Type.Q40 or Type.Q4K or Type.Iq4Nl && rows > 0 && rows % 8 == 0 && !name.StartsWith("token_embd", StringComparison.Ordinal);
            tensors.Add(new(offset, name.StartsWith("blk.", StringComparison.Ordinal), repacked));
        }

        if (count == 0)
        {
            return default;
        }

        var start = (stream.Position + alignment - 1) / alignment * alignment;
        return Sum(tensors, length - start);
    }

    /// <summary>A tensor reaches to where the next one begins, and the last one to the end of the file: that holds for types of tomorrow, too.</summary>
    private static GgufTensors Sum(List<Tensor> tensors, long room)
    {
        tensors.Sort((one, other) => one.Offset.CompareTo(other.Offset));
        if (room <= 0 || tensors[^1].Offset >= (ulong)room)
        {
            throw new GgufException("It is not whole: its weights lie past its end. Download it again.");
        }

        long ofLayers = 0, repacked = 0;
        for (var i = 0; i < tensors.Count; i++)
        {
            var bytes = (i + 1 < tensors.Count ? (long)tensors[i + 1].Offset : room) - (long)tensors[i].Offset;
            ofLayers += tensors[i].IsOfLayer ? bytes : 0;
            repacked += tensors[i].IsRepacked ? bytes : 0;
        }

        return new(room, ofLayers, repacked);
    }
}
