using System.Net;
using System.Text;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>What a client's connection pool meets behind a stream that broke.</summary>
public sealed class ConnectionAfterBreakTests
{
    private const int Rounds = 100;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory(Timeout = 60_000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Request_RightBehindABrokenStream_NeverMeetsAConnectionThatIsBeingClosed(bool waits)
    {
        await using var backend = Breaking();
        await using var gateway = await StartAsync(backend);

        // A pool hands a connection to a request that waits for one without looking at it.
        using var client = gateway.Client(new SocketsHttpHandler { MaxConnectionsPerServer = waits ? 1 : int.MaxValue });
        for (var i = 0; i < Rounds; i++)
        {
            using var broken = await client.SendAsync(Ask(stream: true), HttpCompletionOption.ResponseHeadersRead, Ct);
            var waiting = waits ? client.SendAsync(Ask(stream: false), Ct) : null;
            Assert.Contains("stream_broken", await broken.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
            using var next = await (waiting ?? client.SendAsync(Ask(stream: false), Ct));
            Assert.Equal(HttpStatusCode.OK, next.StatusCode);
            Assert.True(next.Headers.ConnectionClose);
        }
    }

    [Fact(Timeout = 60_000)]
    public async Task Connection_BehindABrokenStream_EndsWhenNothingComesAndWithTheAnswerWhenSomethingDoes()
    {
        await using var backend = Breaking();
        await using var gateway = await StartAsync(backend);
        using var quiet = await gateway.SendAsync(Json(stream: true));
        var (text, inGoodOrder) = await quiet.ReadToEndAsync();
        Assert.True(inGoodOrder);
        Assert.EndsWith("\r\n0\r\n\r\n", text, StringComparison.Ordinal);
        Assert.Contains("stream_broken", text, StringComparison.Ordinal);

        using var busy = await gateway.SendAsync(Json(stream: true));
        await busy.ReadUntilAsync("\r\n0\r\n\r\n");
        await busy.WriteAsync($"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{gateway.Url.Port}\r\nContent-Length: {Json(stream: false).Length}\r\n\r\n{Json(stream: false)}");
        (text, inGoodOrder) = await busy.ReadToEndAsync();
        Assert.True(inGoodOrder);
        var next = text[text.LastIndexOf("HTTP/1.1 200", StringComparison.Ordinal)..];
        Assert.Contains("Connection: close\r\n", next, StringComparison.Ordinal);
        Assert.EndsWith("}", next, StringComparison.Ordinal);
    }

    private static StubBackend Breaking() => new(async exchange =>
    {
        if (exchange.Body.Contains("\"stream\":true", StringComparison.Ordinal))
        {
            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
            exchange.Close();
            return;
        }

        await exchange.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    });

    private static async Task<GatewayUnderTest> StartAsync(StubBackend backend)
    {
        var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System, model => model with { Breaker = model.Breaker with { MinimumThroughput = 100_000 } });
        gateway.Add(backend.Address, slots: 4);
        return gateway;
    }

    private static HttpRequestMessage Ask(bool stream) =>
        new(HttpMethod.Post, new Uri("v1/chat/completions", UriKind.Relative)) { Content = new StringContent(Json(stream), Encoding.UTF8, "application/json") };

    private static string Json(bool stream) => $$"""{"model":"m","stream":{{(stream ? "true" : "false")}},"messages":[]}""";
}
