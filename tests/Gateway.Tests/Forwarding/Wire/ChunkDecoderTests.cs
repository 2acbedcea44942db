using System.Text;
using CsCheck;
using LlmGateway.Gateway.Forwarding.Wire;

namespace LlmGateway.Gateway.Tests.Forwarding.Wire;

public sealed class ChunkDecoderTests
{
    [Fact]
    public void Decode_HoweverTheBytesAreCut_GivesTheDataAndTheExcess() =>
        Gen.Select(Gen.Byte.Array[0, 300].Array[0, 6], Gen.Int[1, 40].Array[1, 20], Gen.Bool, Gen.Bool).Sample((parts, cuts, hasExtensions, hasTrailer) =>
        {
            byte[][] chunks = [.. parts.Where(static part => part.Length > 0)];
            var wire = new List<byte>();
            foreach (var chunk in chunks)
            {
                wire.AddRange(Encoding.ASCII.GetBytes(hasExtensions ? $"00{chunk.Length:X} ; a=\"b\"\r\n" : $"{chunk.Length:x}\r\n"));
                wire.AddRange([.. chunk, .. "\r\n"u8]);
            }

            wire.AddRange(Encoding.ASCII.GetBytes(hasTrailer ? "0\r\nX-Sum: 1\r\nY: 2\r\n\r\nNEXT" : "0\r\n\r\nNEXT"));
            var (data, excess) = Decode([.. wire], cuts);
            Assert.Equal(chunks.SelectMany(static chunk => chunk), data);
            Assert.Equal(4, excess);
        });

    [Theory]
    [InlineData("\r\n")]
    [InlineData("g\r\n")]
    [InlineData("-1\r\n")]
    [InlineData("0x1\r\n")]
    [InlineData(";a\r\n")]
    [InlineData("1\n")]
    [InlineData("1\rx")]
    [InlineData("1 x\n")]
    [InlineData("1\r\nab")]
    [InlineData("1\r\na\n")]
    [InlineData("1\r\na\rx")]
    [InlineData("0\r\n\rx")]
    [InlineData("1000000000000000\r\n")]
    public void Decode_WhatIsNoChunk_Throws(string wire) =>
        Assert.Throws<IOException>(() => Decode(Encoding.ASCII.GetBytes(wire), [3]));

    [Theory]
    [InlineData("1;")]
    [InlineData("0\r\n")]
    public void Decode_ExtensionsOrTrailersWithoutEnd_AreBounded(string start) =>
        Assert.Throws<IOException>(() => Decode(Encoding.ASCII.GetBytes(start + new string('a', 100_000)), [1000]));

    private static (byte[] Data, int Excess) Decode(byte[] wire, int[] cuts)
    {
        var decoder = new ChunkDecoder();
        var data = new List<byte>();
        var (at, excess) = (0, 0);
        for (var i = 0; at < wire.Length; i++)
        {
            var piece = wire.AsSpan(at, Math.Min(cuts[i % cuts.Length], wire.Length - at)).ToArray();
            at += piece.Length;
            data.AddRange(piece.AsSpan(0, decoder.Decode(piece, out var behind)));
            excess += behind;
        }

        Assert.Equal(excess > 0, decoder.IsEnded);
        return ([.. data], excess);
    }
}
