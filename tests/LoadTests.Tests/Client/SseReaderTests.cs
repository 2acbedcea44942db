using System.Text;
using LlmGateway.LoadTests.Client;

namespace LlmGateway.LoadTests.Tests.Client;

public sealed class SseReaderTests
{
    [Theory]
    [InlineData("data: a\n\n", "a")]
    [InlineData("data:a\r\n\r\ndata: b\r\r", "a", "b")]
    [InlineData("data: a\ndata: b\n\n", "a\nb")]
    [InlineData(": ping\n\nid: 7\ndata: a\nretry: 1\n\n:\n\n", "a")]
    [InlineData("data\n\n", "")]
    [InlineData("data:  a\n\n", " a")]
    [InlineData("event: error\ndata: x\n\ndata: y\n\n", "error!x", "y")]
    [InlineData("event: error\n\ndata: y\n\n", "y")]
    [InlineData("\uFEFFdata: a\n\n", "a")]
    [InlineData("data: a\n\ndata: half", "a")]
    [InlineData("data: line one\r\nevent: error\r\ndata: two\r\n\r\n", "error!line one\ntwo")]
    public void TryRead_CutAnywhere_GivesTheSameEvents(string text, params string[] expected)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        for (var size = 1; size <= bytes.Length; size++)
        {
            Assert.Equal(expected, ReadAll(bytes, () => size));
        }
    }

    [Fact]
    public void TryRead_RandomEventsCutAtRandom_GivesTheSameEvents()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var (text, expected) = RandomStream(random);
            Assert.Equal(expected, ReadAll(Encoding.UTF8.GetBytes(text), () => 1 + random.Next(random.Next(2) == 0 ? 4 : 700)));
        }
    }

    [Fact]
    public void HasPart_HalfAnEvent_IsTrue()
    {
        Assert.True(PartOf("data: a\n\ndata: b\n"));
        Assert.True(PartOf("data: a\n\nda"));
        Assert.False(PartOf("data: a\n\n: ping\n\n"));
        Assert.False(PartOf("data: a\r\n\r\n"));
    }

    [Fact]
    public void Comments_Pings_AreCountedAndAreNoEvents()
    {
        using var reader = new SseReader();
        Assert.Empty(Drain(reader, ": ping\n\n:\n\n"u8, 3));
        Assert.Equal(2, reader.Comments);
    }

    [Fact]
    public void Free_EventBeyondTheLimit_Throws()
    {
        using var reader = new SseReader(initialBytes: 16, maxEventBytes: 64);
        Assert.Throws<InvalidDataException>(() => Drain(reader, Encoding.UTF8.GetBytes("data: " + new string('x', 1000)), 7));
    }

    private static (string Text, List<string> Expected) RandomStream(Random random)
    {
        var text = new StringBuilder();
        var expected = new List<string>();
        for (var i = random.Next(12); i >= 0; i--)
        {
            var end = random.Next(3) switch { 0 => "\n", 1 => "\r\n", _ => "\r" };
            if (random.Next(4) == 0)
            {
                text.Append(": ").Append('p', random.Next(9)).Append(end);
            }

            var isError = random.Next(5) == 0;
            text.Append(isError ? "event: error" + end : "");
            var lines = Enumerable.Range(0, 1 + random.Next(3)).Select(_ => string.Concat(Enumerable.Repeat("ä{\"x:🙂", random.Next(random.Next(9) == 0 ? 900 : 5)))).ToArray();
            foreach (var line in lines)
            {
                text.Append("data: ").Append(line).Append(end);
            }

            text.Append(end);
            expected.Add((isError ? "error!" : "") + string.Join('\n', lines));
        }

        return (text.ToString(), expected);
    }

    private static bool PartOf(string text)
    {
        using var reader = new SseReader();
        Drain(reader, Encoding.UTF8.GetBytes(text), 5);
        return reader.HasPart;
    }

    private static List<string> ReadAll(byte[] bytes, Func<int> size)
    {
        using var reader = new SseReader(initialBytes: 16);
        return Drain(reader, bytes, size);
    }

    private static List<string> Drain(SseReader reader, ReadOnlySpan<byte> bytes, int size) => Drain(reader, bytes, () => size);

    private static List<string> Drain(SseReader reader, ReadOnlySpan<byte> bytes, Func<int> size)
    {
        var events = new List<string>();
        while (!bytes.IsEmpty)
        {
            var free = reader.Free().Span;
            var count = Math.Min(Math.Min(size(), bytes.Length), free.Length);
            bytes[..count].CopyTo(free);
            bytes = bytes[count..];
            reader.Advance(count);
            while (reader.TryRead(out var e))
            {
                events.Add((e.IsError ? "error!" : "") + Encoding.UTF8.GetString(e.Data));
            }
        }

        return events;
    }
}
