using System.Text;
using CsCheck;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class OutputTests
{
    [Theory]
    [InlineData("a\nb\r\nc", "a|b|c")]
    [InlineData("\n\n", "|")]
    [InlineData("", "")]
    [InlineData("red \u001b[31m\ttab\r50%\n", "red \\u001b[31m\ttab\\u000d50%")]
    [InlineData("x\u2028y\u202ez\0", "x\\u2028y\\u202ez\\u0000")]
    [InlineData("grün 日本\n", "grün 日本")]
    public void Lines_AnyText_AreSafeToShow(string text, string lines) => Assert.Equal(lines, string.Join('|', Cut(Encoding.UTF8.GetBytes(text), 3)));

    [Fact]
    public void Lines_InvalidUtf8_IsReplaced() => Assert.Equal(["a\ufffdb"], Cut([(byte)'a', 0xff, (byte)'b', (byte)'\n'], 1));

    [Fact]
    public void Lines_TooLong_AreCutOnceAndSaySo()
    {
        var lines = Cut([.. Enumerable.Repeat((byte)'x', 100_000), (byte)'\n', (byte)'y', (byte)'\n'], 1000);
        Assert.Equal([new string('x', LineCutter.MaxLineBytes) + " …[cut]", "y"], lines);
    }

    [Fact]
    public void Fault42_Lines_AnyBytesInAnyPieces_AreTheSameAndHoldNoControls() =>
        Gen.Select(Gen.Byte.Array[0, 200], Gen.Int[1, 50]).Sample((bytes, piece) =>
        {
            var lines = Cut(bytes, piece);
            Assert.Equal(Cut(bytes, bytes.Length + 1), lines);
            Assert.DoesNotContain(string.Concat(lines), c => char.IsControl(c) && c != '\t');
        });

    [Fact]
    public void Ring_Full_DropsTheOldestAndCountsThem()
    {
        var ring = new OutputRing(maxLines: 3, maxCharacters: 100);
        for (var i = 0; i < 5; i++)
        {
            ring.Add(generation: i < 4 ? 1 : 2, $"line {i}");
        }

        Assert.Equal(["line 2", "line 3", "line 4"], ring.Tail(10));
        Assert.Equal(["line 3"], ring.Tail(1, generation: 1));
        Assert.Equal((5, 2), (ring.Written, ring.Dropped));

        ring.Add(2, new string('x', 200));
        Assert.Single(ring.Tail(10)); // bounded in characters, but the last line is always there
    }

    [Fact]
    public void Read_ByPlace_GoesOnWhereTheLastReadingEndedAndTellsWhatWasMissed()
    {
        var ring = new OutputRing(maxLines: 3, maxCharacters: 100);
        ring.Add(1, "a");
        ring.Add(1, "b");
        var first = ring.Read(-1, 10);
        Assert.Equal(["b"], first.Lines);
        Assert.False(first.More.IsCompleted);

        ring.Add(1, "c");
        Assert.True(first.More.IsCompleted);
        var second = ring.Read(first.Next, 10);
        Assert.Equal(["c"], second.Lines);
        Assert.Equal(0, second.Missed);

        for (var i = 0; i < 5; i++)
        {
            ring.Add(1, $"{i}");
        }

        var third = ring.Read(second.Next, 2);
        Assert.Equal(["2", "3"], third.Lines);
        Assert.Equal(2, third.Missed);
        Assert.True(third.More.IsCompleted);
        Assert.Equal(["4"], ring.Read(third.Next, 2).Lines);
        Assert.Empty(ring.Read(long.MaxValue, 2).Lines);
    }

    private static List<string> Cut(byte[] bytes, int piece)
    {
        var lines = new List<string>();
        var cutter = new LineCutter(lines.Add);
        foreach (var chunk in bytes.Chunk(piece))
        {
            cutter.Add(chunk);
        }

        cutter.End();
        return lines;
    }
}
