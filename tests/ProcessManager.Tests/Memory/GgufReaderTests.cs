using System.Buffers.Binary;
using System.Text;
using CsCheck;
using LlmGateway.ProcessManager.Memory;
using LlmGateway.TinyModel;

namespace LlmGateway.ProcessManager.Tests.Memory;

public sealed class GgufReaderTests
{
    private static readonly ModelShape Tiny = ModelShape.Presets["tiny"];

    [Fact]
    public void Read_Llama_TellsItsSizes()
    {
        var header = Read(Models.Bytes(Tiny with { KeyValueHeads = 2 }));

        Assert.Equal(("llama", "tiny-random", "F16"), (header.Architecture, header.Name, header.Quantization));
        Assert.Equal((2, 64, 128, 4), (header.Layers, header.Embedding, header.FeedForward, header.Heads));
        Assert.Equal([2, 2], header.KeyValueHeads);
        Assert.Equal((16, 16, 32768, 2048), (header.KeyLength, header.ValueLength, header.ContextLength, header.Vocabulary));
        Assert.Equal((0, 0, 0, 1), (header.Experts, header.SlidingWindow, header.WindowedLayers, header.Parts));
        Assert.False(header.IsProjector);
    }

    [Fact]
    public void Read_TensorSums_AreThoseOfTheShape()
    {
        var header = Read(Models.Bytes(Tiny));

        const int Width = 64, Inner = 128, Tokens = 2048, Layers = 2;
        const int OfLayers = Layers * (((4 * Width * Width) + (3 * Width * Inner)) * 2 + (2 * Width * 4));
        Assert.Equal(OfLayers, header.LayerBytes);
        Assert.Equal(OfLayers + (2 * Width * Tokens * 2) + (Width * 4), header.TensorBytes);
        Assert.Equal(0, header.RepackedBytes);
    }

    [Fact]
    public void Read_MixtureWindowAndQuantized_AreTold()
    {
        var mixture = Read(Models.Bytes(Tiny with { Experts = 4 }));
        var windowed = Read(Models.Bytes(Tiny with { Layers = 5, SlidingWindow = 256 }));
        var quantized = Read(Models.Bytes(Tiny with { Weights = TensorKind.Q40 }));

        Assert.Equal((4, 2, 128), (mixture.Experts, mixture.ExpertsUsed, mixture.FeedForward));
        Assert.Equal(("gemma2", 256, 3), (windowed.Architecture, windowed.SlidingWindow, windowed.WindowedLayers));
        Assert.Equal("Q4_0", quantized.Quantization);
        Assert.Equal(quantized.TensorBytes - (64 * 4) - (2 * 2 * 64 * 4) - (64 / 32 * 18 * 2048), quantized.RepackedBytes); // all but norms and embeddings
    }

    [Fact]
    public void Read_LayersWithHeadsOfTheirOwn_AreKept()
    {
        var file = new Header("hybrid").With("hybrid.block_count", 3).With("hybrid.attention.head_count", 8).With("hybrid.embedding_length", 64)
            .With("hybrid.attention.head_count_kv", [0, 2, 0])
            .With("hybrid.ssm.inner_size", 128).With("hybrid.ssm.state_size", 16).With("hybrid.ssm.conv_kernel", 4).With("hybrid.ssm.group_count", 1);

        var header = Read(file.Bytes());

        Assert.Equal([0, 2, 0], header.KeyValueHeads);
        Assert.Equal((128 * 16) + (3 * (128 + 32)), header.RecurrentState);
    }

    [Fact]
    public void Read_Parts_AreAddedUp()
    {
        var folder = Directory.CreateTempSubdirectory("llmgw-gguf-").FullName;
        try
        {
            var whole = new Header("llama").With("llama.block_count", 1).With("llama.embedding_length", 64).With("llama.attention.head_count", 4).With("split.count", 2);
            File.WriteAllBytes(Path.Combine(folder, "m-00001-of-00002.gguf"), whole.Bytes(tensors: 1));
            File.WriteAllBytes(Path.Combine(folder, "m-00002-of-00002.gguf"), new Header("llama").Bytes(tensors: 1));
            File.WriteAllBytes(Path.Combine(folder, "m.gguf"), whole.Bytes(tensors: 1));

            Assert.Equal(2 * Header.TensorSize, GgufReader.Read(Path.Combine(folder, "m-00001-of-00002.gguf")).TensorBytes);
            Assert.Equal(Header.TensorSize, GgufReader.Read(Path.Combine(folder, "m.gguf")).TensorBytes); // named otherwise: only what is there
            File.Delete(Path.Combine(folder, "m-00002-of-00002.gguf"));
            Assert.Throws<FileNotFoundException>(() => GgufReader.Read(Path.Combine(folder, "m-00001-of-00002.gguf")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("GG")]
    [InlineData("version https://git-lfs.github.com/spec/v1")]
    public void Read_SomethingElse_IsRefused(string text) => Assert.Throws<GgufException>(() => Read(Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void Read_HugeClaims_AreRefusedBeforeAnythingIsAllocated()
    {
        var huge = new byte[64];
        "GGUF"u8.CopyTo(huge);
        BinaryPrimitives.WriteUInt32LittleEndian(huge.AsSpan(4), 3);
        BinaryPrimitives.WriteUInt64LittleEndian(huge.AsSpan(8), ulong.MaxValue);
        Assert.Throws<GgufException>(() => Read(huge));

        BinaryPrimitives.WriteUInt64LittleEndian(huge.AsSpan(8), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(huge.AsSpan(16), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(huge.AsSpan(24), ulong.MaxValue / 2); // a key of 8 EiB
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<GgufException>(() => Read(huge));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Theory]
    [InlineData("block_count", 1 << 30)]
    [InlineData("embedding_length", 1 << 21)]
    [InlineData("attention.head_count_kv", 1 << 21)]
    [InlineData("expert_count", 1 << 21)]
    public void Read_SizeThatMakesNoSense_IsRefused(string key, int value) =>
        Assert.Throws<GgufException>(() => Read(new Header("llama").With("llama.block_count", 2).With($"llama.{key}", value).Bytes()));

    [Fact]
    public void Read_CutAnywhere_IsRefusedOrWhole()
    {
        var whole = Models.Bytes(Tiny with { Vocabulary = 400, Layers = 1 });
        var header = whole.AsSpan().IndexOf("token_embd.weight"u8);
        for (var length = 0; length < header; length += 97)
        {
            Assert.Throws<GgufException>(() => Read(whole[..length]));
        }
    }

    /// <summary>A file comes from anywhere: whatever stands in it, the reader answers or refuses, and the estimate of what it answers is a number.</summary>
    [Fact]
    public void Read_AnyDamage_IsRefusedOrGivesAnEstimate()
    {
        var whole = Models.Bytes(Tiny with { Vocabulary = 400, Layers = 1, Experts = 2 });
        var head = whole.AsSpan(0, whole.AsSpan().IndexOf("output.weight"u8) + 64).ToArray();
        Gen.Select(Gen.Int[0, head.Length - 1].Array[1, 4], Gen.Byte.Array[4], Gen.Bool).Sample(
            (places, values, early) =>
            {
                var damaged = (byte[])whole.Clone();
                for (var i = 0; i < places.Length; i++)
                {
                    damaged[early ? places[i] % 400 : places[i]] = values[i];
                }

                Survives(damaged);
            },
            iter: 5_000);
    }

    [Fact]
    public void Read_AnyBytesBehindAGoodBeginning_AreRefusedOrGiveAnEstimate() =>
        Gen.Byte.Array[0, 300].Sample(bytes => Survives([.. "GGUF"u8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, .. bytes]), iter: 5_000);

    private static void Survives(byte[] bytes)
    {
        try
        {
            var estimate = MemoryEstimator.Estimate(Read(bytes), new LlamaArguments { Slots = 4096, ContextSize = int.MaxValue, ComputeBatch = 1 << 20 }, hasGpu: false);
            Assert.InRange(estimate.RamBytes, 0, long.MaxValue);
        }
        catch (GgufException)
        {
            // Refused: as good.
        }
    }

    private static GgufHeader Read(byte[] bytes)
    {
        using var stream = new MemoryStream(bytes);
        return GgufReader.Read(stream, bytes.Length);
    }

    /// <summary>A header by hand, for what the generator does not make.</summary>
    private sealed class Header(string architecture)
    {
        public const long TensorSize = 64;

        private readonly List<Action<BinaryWriter>> _pairs =
        [
            writer =>
            {
                Text(writer, "general.architecture");
                writer.Write(8);
                Text(writer, architecture);
            },
        ];

        public Header With(string key, params int[] values)
        {
            _pairs.Add(writer =>
            {
                Text(writer, key);
                if (values.Length > 1)
                {
                    writer.Write(9);
                    writer.Write(5);
                    writer.Write((ulong)values.Length);
                }
                else
                {
                    writer.Write(5);
                }

                Array.ForEach(values, writer.Write);
            });
            return this;
        }

        public byte[] Bytes(int tensors = 0)
        {
            using var stream = new MemoryStream();
            using var writer = new BinaryWriter(stream);
            writer.Write("GGUF"u8);
            writer.Write(3);
            writer.Write((ulong)tensors);
            writer.Write((ulong)_pairs.Count);
            _pairs.ForEach(pair => pair(writer));
            for (var i = 0; i < tensors; i++)
            {
                Text(writer, $"blk.{i}.attn_q.weight");
                writer.Write(1);
                writer.Write(16UL);
                writer.Write(0);
                writer.Write((ulong)(i * TensorSize));
            }

            writer.Write(new byte[(-stream.Length & 31) + (tensors * TensorSize)]);
            return stream.ToArray();
        }

        private static void Text(BinaryWriter writer, string text)
        {
            writer.Write((ulong)text.Length);
            writer.Write(Encoding.ASCII.GetBytes(text));
        }
    }
}
