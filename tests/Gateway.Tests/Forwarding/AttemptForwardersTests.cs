using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Models;
using LlmGateway.Probes;

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
}
