using System.Security.Cryptography;
using System.Text;

namespace LlmGateway.TinyModel.Tests;

public sealed class RandomModelTests
{
    private static readonly ModelShape Tiny = ModelShape.Presets["tiny"];

    [Fact]
    public void WriteTo_SameArguments_SameBytes() => Assert.Equal(Bytes(Tiny), Bytes(Tiny));

    [Fact]
    public void WriteTo_AnotherSeed_SameLengthOtherBytes()
    {
        var (one, other) = (Bytes(Tiny, seed: 1), Bytes(Tiny, seed: 2));

        Assert.Equal(one.Length, other.Length);
        Assert.NotEqual(one, other);
    }

    // Written down once: a new version of .NET must not change the files, or the reports made with them can't be compared.
    [Fact]
    public void WriteTo_Tiny_HasTheBytesItAlwaysHad() =>
        Assert.Equal("3e6332ac17d60d2d1be5e0aebd4b7a2250d1f18bd0a0e494850616827e627521", Convert.ToHexStringLower(SHA256.HashData(Bytes(Tiny))));

    [Fact]
    public void WriteTo_Tiny_StartsWithGgufHeader()
    {
        using var reader = new BinaryReader(new MemoryStream(Bytes(Tiny)));

        Assert.Equal("GGUF", Encoding.ASCII.GetString(reader.ReadBytes(4)));
        Assert.Equal(3u, reader.ReadUInt32());
        Assert.Equal((ulong)((Tiny.Layers * 9) + 3), reader.ReadUInt64());
        Assert.Equal(26UL, reader.ReadUInt64());
        Assert.Equal("general.architecture", Encoding.UTF8.GetString(reader.ReadBytes((int)reader.ReadUInt64())));
    }

    [Fact]
    public void WriteTo_WithoutChatTemplate_LeavesItOut()
    {
        Assert.True(Bytes(Tiny).AsSpan().IndexOf("tokenizer.chat_template"u8) >= 0);
        Assert.True(Bytes(Tiny, chatTemplate: false).AsSpan().IndexOf("tokenizer.chat_template"u8) < 0);
    }

    [Fact]
    public void WriteTo_AnyShape_IsAlignedToTheEnd() => Assert.Equal(0, Bytes(Tiny with { Vocabulary = 355 }).Length % GgufWriter.Alignment);

    [Theory]
    [InlineData(0, false)]
    [InlineData(3, true)]
    public void WriteTo_EndWeight_DecidesWhetherTheEndTokenCanBeSampled(double endWeight, bool sampled)
    {
        var output = OutputRows(Bytes(Tiny, endWeight: endWeight));

        Assert.Equal(sampled, output[Vocabulary.End].Any(value => value != 0));
        Assert.All(output[..Vocabulary.FirstText].Where((_, token) => token != Vocabulary.End), row => Assert.All(row, value => Assert.Equal(0, value)));
        Assert.All(output[Vocabulary.FirstText..], row => Assert.Contains(row, value => value != 0));
    }

    // The last tensor of the file is the output matrix, one row a token.
    private static byte[][] OutputRows(byte[] model) =>
        [.. model[^(Tiny.Vocabulary * Tiny.Embedding * 2)..].Chunk(Tiny.Embedding * 2)];

    private static byte[] Bytes(ModelShape shape, ulong seed = 1, bool chatTemplate = true, double endWeight = 0)
    {
        using var stream = new MemoryStream();
        new RandomModel(shape, "tiny-random", chatTemplate, seed, endWeight).WriteTo(stream);
        return stream.ToArray();
    }
}
