using System.Text;
using CsCheck;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Tests.Fakes;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class EventFramingTests
{
    [Theory]
    [InlineData("", 0)]
    [InlineData("data: x", 0)]
    [InlineData("data: x\n", 0)]
    [InlineData("data: x\r", 0)]
    [InlineData("data: x\r\n", 0)]
    [InlineData("\n", 0)]
    [InlineData("data: x\n\n", 9)]
    [InlineData("data: x\r\r", 9)]
    [InlineData("data: x\r\n\r\n", 11)]
    [InlineData("data: x\n\r\n", 10)]
    [InlineData("data: x\r\n\n", 10)]
    [InlineData("data: x\r\r\n", 10)]
    [InlineData("data: x\n\r", 9)]
    [InlineData("event: a\ndata: x\n\ndata: y\n\n", 18)]
    [InlineData("\n\n", 2)]
    public void NextEvent_AnyMixOfLineEnds_IsFound(string text, int length) => Assert.Equal(length, EventFraming.NextEvent(Encoding.UTF8.GetBytes(text)));

    [Theory]
    [InlineData(": ping\n\n", true)]
    [InlineData(":\r\n\r\n", true)]
    [InlineData("\n\n", true)]
    [InlineData(":a\n:b\n\n", true)]
    [InlineData(":a\ndata: x\n\n", false)]
    [InlineData("data: :\n\n", false)]
    [InlineData(" :\n\n", false)]
    public void IsComment_EveryLine_MustBeOne(string text, bool isComment) => Assert.Equal(isComment, EventFraming.IsComment(Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void WholeEvents_AnyBytes_IsAPrefixThatStaysAPrefix() => Gen.OneOf((byte)'\n', (byte)'\r', (byte)'d', (byte)':').Array[0, 40].Sample(bytes =>
    {
        var whole = WholeEvents.In(bytes);
        return whole >= 0 && whole <= bytes.Length && WholeEvents.In(bytes.AsSpan(0, whole)) == whole && EventFraming.NextEvent(bytes.AsSpan(whole)) == 0;
    });
}
