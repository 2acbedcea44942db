using System.Net;
using LlmGateway.Gateway.Requests;
using Microsoft.AspNetCore.Http;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class HostGuardTests
{
    private readonly HostGuard _guard = new(["gateway.example", "*.wild"], ["http://app.example:3000"]);

    [Theory]
    [InlineData("localhost:8080", true)]
    [InlineData("LOCALHOST", true)]
    [InlineData("127.0.0.1:8080", true)]
    [InlineData("127.9.9.9", true)]
    [InlineData("[::1]:8080", true)]
    [InlineData("[::1]", true)]
    [InlineData("192.168.1.5:8080", true)]
    [InlineData("192.168.1.6:8080", false)]
    [InlineData("Gateway.Example:443", true)]
    [InlineData("gateway.example.evil.com", false)]
    [InlineData("evil.com:8080", false)]
    [InlineData("localhost.evil.com", false)]
    [InlineData("127.0.0.1.evil.com", false)]
    [InlineData("a.wild", false)]
    [InlineData("localhost.", false)]
    [InlineData("", false)]
    public void Check_Host_OnlyLoopbackOwnAddressAndConfiguredNamesPass(string host, bool passes)
    {
        var refusal = _guard.Check(new HostString(host), "", "", IPAddress.Parse("192.168.1.5"), checkHost: true);
        Assert.Equal(passes ? null : 421, refusal?.Status);
        Assert.Null(_guard.Check(new HostString(host), "", "", IPAddress.Parse("192.168.1.5"), checkHost: false));
    }

    [Fact]
    public void Check_OwnAddressOnADualStackListener_Passes() =>
        Assert.Null(_guard.Check(new HostString("192.168.1.5:8080"), "", "", IPAddress.Parse("::ffff:192.168.1.5"), checkHost: true));

    [Theory]
    [InlineData("localhost:8080", "", "", true)]
    [InlineData("localhost:8080", "", "same-origin", true)]
    [InlineData("localhost:8080", "", "same-site", true)]
    [InlineData("localhost:8080", "", "none", true)]
    [InlineData("localhost:8080", "", "cross-site", false)]
    [InlineData("localhost:8080", "", "Cross-Site", false)]
    [InlineData("localhost:8080", "http://localhost:8080", "cross-site", true)]
    [InlineData("localhost:8080", "http://localhost:8080", "", true)]
    [InlineData("localhost:8080", "http://localhost:8081", "", false)]
    [InlineData("localhost:8080", "http://127.0.0.1:8080", "", false)]
    [InlineData("localhost:8080", "http://app.example:3000", "cross-site", true)]
    [InlineData("localhost:8080", "HTTP://APP.EXAMPLE:3000", "", true)]
    [InlineData("localhost:8080", "http://app.example", "", false)]
    [InlineData("localhost:8080", "https://evil.com", "", false)]
    [InlineData("localhost:8080", "null", "", false)]
    [InlineData("localhost:8080", "not a url", "", false)]
    [InlineData("localhost:8080", "http://localhost:8080.evil.com", "", false)]
    [InlineData("localhost:8080", "http://localhost:8080@evil.com", "", false)]
    public void Check_Origin_OnlyOurOwnAndConfiguredOnesPass(string host, string origin, string fetchSite, bool passes) =>
        Assert.Equal(passes ? null : "origin_not_allowed", _guard.Check(new HostString(host), origin, fetchSite, IPAddress.Loopback, checkHost: true)?.Code);

    [Fact]
    public void Check_Star_AllowsAll()
    {
        var guard = new HostGuard(["*"], ["*"]);
        Assert.Null(guard.Check(new HostString("anything"), "https://evil.com", "cross-site", null, checkHost: true));
    }

    [Fact]
    public void Check_ForeignHostAndOrigin_HostIsNamedFirst() =>
        Assert.Equal(421, _guard.Check(new HostString("evil.com"), "http://evil.com", "", IPAddress.Loopback, checkHost: true)?.Status);
}
