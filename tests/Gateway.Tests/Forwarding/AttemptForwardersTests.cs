using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Probes;
using LlmGateway.TestKit;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class AttemptForwardersTests
{
    [Theory]
    [InlineData("http://127.0.0.1:9/", "lean", typeof(LeanForwarder))]
    [InlineData("https://example.org/v1", "lean", typeof(YarpForwarder))]
    [InlineData("http://127.0.0.1:9/", "yarp", typeof(YarpForwarder))]
    public void For_ABackend_IsTheLeanOneUnlessItNeedsTlsOrIsToldOtherwise(string url, string relay, Type forwarder)
    {
        var live = new LiveCatalogue(new ModelCatalogue(new GatewayOptions { Gateway = new DataPlaneOptions { Relay = Enum.Parse<RelayKind>(relay, ignoreCase: true) } }));
        var forwarders = new AttemptForwarders(null!, new BackendInvokers(), live, TimeProvider.System);

        Assert.IsType(forwarder, forwarders.For(new Backend("m/0", "m", 0, BackendAddress.Remote(new Uri(url)), apiKey: null, hasSlotsEndpoint: false)));
    }

    [Theory]
    [InlineData("lean")]
    [InlineData("yarp")]
    public async Task Request_WhoseFirstAttemptFailed_IsGoodWhenTheSecondIs(string relay)
    {
        var asked = 0;
        Task Answer(StubExchange exchange)
        {
            if (Interlocked.Increment(ref asked) > 1)
            {
                return exchange.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
            }

            exchange.Close();
            return Task.CompletedTask;
        }

        await using var first = new StubBackend(Answer);
        await using var second = new StubBackend(Answer);
        await using var gateway = await GatewayUnderTest.StartAsync(
            TimeProvider.System, root: options => options with { Gateway = options.Gateway with { Relay = Enum.Parse<RelayKind>(relay, ignoreCase: true) } });
        gateway.Add(first.Address);
        gateway.Add(second.Address, index: 1);

        using var answer = await gateway.SendAsync("""{"model":"m"}""");

        await Eventually.TrueAsync(() => gateway.Ledger.Recent(1).Length == 1, "the request to end", TestContext.Current.CancellationToken);
        Assert.Equal((RequestOutcome.Ok, 200, 2), (gateway.Ledger.Recent(1)[0].Outcome, gateway.Ledger.Recent(1)[0].Status, asked));
    }
}
