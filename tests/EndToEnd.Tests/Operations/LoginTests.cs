using System.Net;
using System.Text.Json.Nodes;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>How a browser gets in, and what it may do there.</summary>
public sealed class LoginTests(ManagedGateway managed) : IClassFixture<ManagedGateway>
{
    private const int Limit = 60_000;
    private const string Command = "api/replicas/org%2Fmodel:q4/0/reset";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => managed.Gateway;

    [Fact(Timeout = Limit)]
    public async Task Link_FromTheStart_LogsInOnceByAStrictCookie()
    {
        var link = new Uri(Gateway.Process.Lines.First(line => line.StartsWith("  dashboard ", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        using var first = new Browser(Gateway.ManagementUrl);
        using var entered = await first.Client.GetAsync(link, Ct);
        Assert.Equal(HttpStatusCode.OK, entered.StatusCode);
        Assert.Equal("/", entered.RequestMessage!.RequestUri!.AbsolutePath);
        var cookie = Assert.Single(first.Cookies.GetAllCookies());
        Assert.True(cookie.HttpOnly);
        Assert.StartsWith("default-src 'none'", entered.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);

        using var second = new Browser(Gateway.ManagementUrl);
        using var refused = await second.Client.GetAsync(link, Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Empty(second.Cookies.GetAllCookies());
    }

    [Fact(Timeout = Limit)]
    public async Task Cookie_IsStrictAndHidden()
    {
        using var handler = new HttpClientHandler { AllowAutoRedirect = false };
        using var client = new HttpClient(handler) { BaseAddress = Gateway.ManagementUrl };
        using var entered = await client.PostAsync(new Uri("login", UriKind.Relative), await FormAsync(), Ct);
        Assert.Equal(HttpStatusCode.Redirect, entered.StatusCode);
        var cookie = entered.Headers.GetValues("Set-Cookie").Single();
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=strict", cookie, StringComparison.OrdinalIgnoreCase);
    }

    [Fact(Timeout = Limit)]
    public async Task Page_WithoutASession_AsksForTheTokenAndTakesIt()
    {
        using var browser = new Browser(Gateway.ManagementUrl);
        browser.Client.DefaultRequestHeaders.Add("Accept", "text/html");
        using var asked = await browser.Client.GetAsync(new Uri("", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, asked.StatusCode);
        Assert.Contains("type=\"password\"", await asked.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);

        using var wrong = await browser.Client.PostAsync(new Uri("login", UriKind.Relative), new FormUrlEncodedContent([new("token", "0123456789abcdef")]), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, wrong.StatusCode);
        using var right = await browser.Client.PostAsync(new Uri("login", UriKind.Relative), await FormAsync(), Ct);
        Assert.Equal("/", right.RequestMessage!.RequestUri!.AbsolutePath);
        Assert.Equal(HttpStatusCode.OK, right.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Command_FromABrowser_NeedsThePagesOwnSecret()
    {
        using var browser = new Browser(Gateway.ManagementUrl);
        using var entered = await browser.Client.PostAsync(new Uri("login", UriKind.Relative), await FormAsync(), Ct);
        entered.EnsureSuccessStatusCode();

        using var forged = await browser.Client.PostAsync(new Uri(Command, UriKind.Relative), null, Ct);
        await forged.AssertErrorAsync(HttpStatusCode.Forbidden, "forgery_suspected", Ct);
        var session = JsonNode.Parse(await browser.Client.GetStringAsync(new Uri("api/session", UriKind.Relative), Ct))!;
        browser.Client.DefaultRequestHeaders.Add("x-llmgateway-csrf", (string?)session["csrf"]);
        using var honest = await browser.Client.PostAsync(new Uri(Command, UriKind.Relative), null, Ct);
        Assert.Equal(HttpStatusCode.Accepted, honest.StatusCode);

        using var logout = await browser.Client.PostAsync(new Uri("logout", UriKind.Relative), null, Ct);
        Assert.Equal(HttpStatusCode.NoContent, logout.StatusCode);
        using var outside = await browser.Client.GetAsync(new Uri("api/status", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, outside.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task LoginLinks_WithTheToken_AreGoodOnce()
    {
        using var response = await Gateway.Management.PostAsync(new Uri("api/login-links", UriKind.Relative), null, Ct);
        var link = new Uri((string)(await response.JsonAsync(Ct))["url"]!);
        using var browser = new Browser(Gateway.ManagementUrl);
        using var entered = await browser.Client.GetAsync(link, Ct);
        Assert.Equal(HttpStatusCode.OK, entered.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task ReadOnly_RefusesEveryCommandAndNothingElse()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Management": { "ReadOnly": true }, "Models": { "demo": { "Kind": "simulator", "Replicas": 1 } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        foreach (var path in new[] { "api/replicas/demo/0/restart", "api/models/demo/restart", "api/requests/x/cancel", "api/nothing" })
        {
            using var refused = await gateway.Management.PostAsync(new Uri(path, UriKind.Relative), null, Ct);
            await refused.AssertErrorAsync(HttpStatusCode.Forbidden, "read_only", Ct);
        }

        using var link = await gateway.Management.PostAsync(new Uri("api/login-links", UriKind.Relative), null, Ct);
        Assert.Equal(HttpStatusCode.OK, link.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Streams_MoreThanAllowed_AreRefused()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Management": { "MaxStreams": 1 }, "Models": {} }""", Ct);
        using var open = await gateway.Management.GetAsync(new Uri("api/live", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, Ct);
        using var refused = await gateway.Management.GetAsync(new Uri("api/events", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, Ct);
        await refused.AssertErrorAsync(HttpStatusCode.TooManyRequests, "too_many_streams", Ct);
    }

    private async Task<FormUrlEncodedContent> FormAsync() => new([new("token", (await File.ReadAllTextAsync(Gateway.TokenFile, Ct)).Trim())]);

    private sealed class Browser : IDisposable
    {
        private readonly HttpClientHandler _handler = new();

        public Browser(Uri url) => Client = new HttpClient(_handler) { BaseAddress = url };

        public HttpClient Client { get; }

        public CookieContainer Cookies => _handler.CookieContainer;

        public void Dispose()
        {
            Client.Dispose();
            _handler.Dispose();
        }
    }
}
