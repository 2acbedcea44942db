using System.Text;
using LlmGateway.Gateway.Forwarding.Wire;

namespace LlmGateway.Gateway.Tests.Forwarding.Wire;

public sealed class HeadReaderTests
{
    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "Length", 5L, true)]
    [InlineData("HTTP/1.1 200\r\ncontent-length:5 \r\n\r\n", 200, "Length", 5L, true)]
    [InlineData("HTTP/1.1 200 OK\ncontent-length: 0\n\n", 200, "Length", 0L, true)]
    [InlineData("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "Length", 5L, false)]
    [InlineData("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", 200, "Length", 5L, true)]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n", 200, "Length", 5L, false)]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 5\r\n\r\n", 200, "Length", 5L, false)]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", 200, "Length", 5L, false)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, "Chunks", null, true)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 200, "Chunks", null, false)]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", 200, "Connection", null, false)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 200, "Connection", null, false)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 200, "Connection", null, false)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", 200, "Connection", null, false)]
    [InlineData("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, "None", 5L, true)]
    [InlineData("HTTP/1.1 100 Continue\r\n\r\n", 100, "None", null, true)]
    [InlineData("HTTP/1.1 503 Loading\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\n", 503, "Length", 1L, true)]
    public void Read_AHead_KnowsWhereItsBodyEnds(string text, int status, string framing, long? length, bool keeps)
    {
        var bytes = Encoding.Latin1.GetBytes(text + "rest");

        var head = HeadReader.Read(bytes, out var consumed);

        Assert.NotNull(head);
        Assert.Equal(text.Length, consumed);
        Assert.Equal((status, framing, length, keeps), (head.Status, head.Framing.ToString(), head.Length, head.KeepsConnection));
        for (var i = 0; i < text.Length; i++)
        {
            Assert.Null(HeadReader.Read(bytes.AsSpan(0, i), out _));
        }
    }

    [Theory]
    [InlineData("content-type: \ta/b; c=\"d\" ", "a/b; c=\"d\"", "a/b")]
    [InlineData("Content-Type: text/event-stream", "text/event-stream", "text/event-stream")]
    [InlineData("Content-Type: Application/JSON ;charset=utf-8", "Application/JSON; charset=utf-8", "Application/JSON")]
    [InlineData("Content-Type: no type", "", "")]
    [InlineData("Content-Type: text/plain\r\nContent-Type: text/html", "", "")]
    [InlineData("X-A: 1", null, "")]
    public void Read_Type_IsPassedOnAsItsParserWritesIt(string header, string? type, string media)
    {
        var head = HeadReader.Read(Encoding.Latin1.GetBytes($"HTTP/1.1 200 OK\r\nX-B: 2\r\n{header}\r\nSet-Cookie: x\r\n\r\n"), out _)!;

        Assert.Equal(type, head.ContentType);
        Assert.Equal(media, head.MediaType.ToString());
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("Content-Encoding: identity\r\n", false)]
    [InlineData("CONTENT-ENCODING: gzip\r\n", true)]
    [InlineData("Content-Encoding: identity, br\r\n", true)]
    [InlineData("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", true)]
    public void Read_Encoding_IsSeen(string header, bool isEncoded) =>
        Assert.Equal(isEncoded, HeadReader.Read(Encoding.Latin1.GetBytes($"HTTP/1.1 200 OK\r\n{header}\r\n"), out _)!.IsEncoded);

    [Theory]
    [InlineData("HTTP/2 200 OK\r\n\r\n")]
    [InlineData("HTTP/1.2 200 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 20 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 2000 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 099 OK\r\n\r\n")]
    [InlineData("HTTP/1.1  200 OK\r\n\r\n")]
    [InlineData("ICY 200 OK and more\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")]
    public void Read_WhatIsNoHead_Throws(string text) =>
        Assert.Throws<HttpRequestException>(() => HeadReader.Read(Encoding.Latin1.GetBytes(text), out _));

    [Fact]
    public void Read_HeadWithoutEnd_Throws() =>
        Assert.Throws<HttpRequestException>(() => HeadReader.Read(Encoding.Latin1.GetBytes("HTTP/1.1 200 OK\r\nA: " + new string('a', HeadReader.Longest)), out _));
}
