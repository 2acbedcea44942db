using System.Net;
using System.Text;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>What a client's connection pool meets behind a stream that broke.</summary>
public sealed class ConnectionAfterBreakTests
{
    private const int Rounds = 100;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 60_000)]
    public async Task Request_RightBehindABrokenStream_NeverMeetsAConnectionThatIsBeingClosed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux holds a last packet back until the connection is closed.");
        await using var backend = new StubBackend(async exchange =>
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
        await using var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System, model => model with { Breaker = model.Breaker with { MinimumThroughput = 100_000 } });
        gateway.Add(backend.Address, slots: 4);
        using var client = gateway.Client();

        var failed = 0;
        for (var i = 0; i < Rounds; i++)
        {
            using var broken = await client.PostAsync(new Uri("v1/chat/completions", UriKind.Relative), Body(stream: true), Ct);
            Assert.Contains("stream_broken", await broken.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
            try
            {
                using var next = await client.PostAsync(new Uri("v1/chat/completions", UriKind.Relative), Body(stream: false), Ct);
                Assert.Equal(HttpStatusCode.OK, next.StatusCode);
            }
            catch (HttpRequestException)
            {
                failed++;
            }
        }

        Assert.Equal(0, failed);
    }

    private static StringContent Body(bool stream) =>
        new($$"""{"model":"m","stream":{{(stream ? "true" : "false")}},"messages":[]}""", Encoding.UTF8, "application/json");
}
