using System.Text;
using LlmGateway.Gateway.Operations.Health;

namespace LlmGateway.Gateway.Tests.Operations.Health;

public sealed class HealthRequestTests
{
    private const string Whole = "GET /healthz HTTP/1.1\r\nHost: gateway:9090\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\n\r\n";

    [Theory]
    [InlineData(Whole, nameof(HealthAsk.Live), false)]
    [InlineData("GET /healthz HTTP/1.0\r\n\r\n", nameof(HealthAsk.Live), false)]
    [InlineData("GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n", nameof(HealthAsk.Ready), false)]
    [InlineData("HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", nameof(HealthAsk.Ready), true)]
    [InlineData("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", nameof(HealthAsk.Live), true)]
    [InlineData("POST /healthz HTTP/1.1\r\nHost: x\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /healthz/x HTTP/1.1\r\nHost: x\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /healthz HTTP/2.0\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /healthz HTTP/1.1\r\nOrigin: https://evil.example\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /healthz HTTP/1.1\r\ncontent-LENGTH: 1\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("GET /healthz HTTP/1.1\r\n folded\r\n\r\n", nameof(HealthAsk.Other), false)]
    [InlineData("\u0016\u0003\u0001", nameof(HealthAsk.Other), false)]
    public void Parse_Whole_IsRecognisedOrLeftToTheServer(string text, string ask, bool isHead)
    {
        var (found, head) = HealthRequest.Parse(Encoding.Latin1.GetBytes(text));

        Assert.Equal(ask, found.ToString());
        Assert.Equal(isHead, head && found != HealthAsk.Other);
    }

    [Fact]
    public void Parse_EveryBeginningOfAHealthRequest_IsIncomplete() =>
        Assert.All(Enumerable.Range(0, Whole.Length), length => Assert.Equal(HealthAsk.Incomplete, HealthRequest.Parse(Encoding.ASCII.GetBytes(Whole[..length])).Ask));
}
