using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.Gateway.Tests.Forwarding;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class SlotCensusTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(200, """[{"id":0,"is_processing":true},{"id":1,"is_processing":false},{"id":2,"is_processing":true}]""", 2)]
    [InlineData(501, "{}", null)]
    [InlineData(404, "{}", null)]
    public async Task BusyAsync_ServerThatTellsOrDoesNot_IsRead(int status, string body, int? busy)
    {
        await using var stub = Answering(status, body);
        Assert.Equal(busy, await new SlotCensus().BusyAsync(Servers.Backend(address: stub.Address), Ct));
    }

    [Theory]
    [InlineData(500, "{}")]
    [InlineData(503, "{}")]
    [InlineData(200, "no slots")]
    [InlineData(200, "null")]
    [InlineData(200, """[{"id":0,"is_processing":true},{"id":1,"is_proc""")]
    public async Task BusyAsync_ServerThatFails_IsUnansweredAndNotIdle(int status, string body)
    {
        await using var stub = Answering(status, body);
        await Assert.ThrowsAsync<HttpRequestException>(() => new SlotCensus().BusyAsync(Servers.Backend(address: stub.Address), Ct));
    }

    private static StubBackend Answering(int status, string body) =>
        StubBackend.Answers($"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}");
}
