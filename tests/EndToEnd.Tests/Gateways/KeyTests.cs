using System.Net;
using System.Security.Cryptography;
using System.Text;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A gateway with two models and two keys; one key may use only one of them.</summary>
public sealed class KeyedGateway : IAsyncLifetime
{
    public const string Anything = "sk-anything-0123456789";
    public const string OnlyFirst = "sk-only-first-0123456789";

    public GatewayProcess Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Keys": [
                { "Name": "anything", "Hash": "{{Hash(Anything)}}" },
                { "Name": "only-first", "Hash": "{{Hash(OnlyFirst)}}", "Models": ["one"] } ],
              "Models": {
                "first": { "Kind": "simulator", "Aliases": ["one"] },
                "second": { "Kind": "simulator" } } }
            """,
            TestContext.Current.CancellationToken);
        await Gateway.UntilReadyAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (Gateway is not null)
        {
            await Gateway.DisposeAsync();
        }
    }

    private static string Hash(string secret) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
}

public sealed class KeyTests(KeyedGateway keyed) : IClassFixture<KeyedGateway>
{
    private const int Limit = 60_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory(Timeout = Limit)]
    [InlineData(null)]
    [InlineData("sk-wrong")]
    public async Task Request_WithoutAValidKey_Is401InItsApisShape(string? secret)
    {
        using var client = secret is null ? new HttpClient { BaseAddress = keyed.Gateway.DataUrl } : keyed.Gateway.WithKey(secret);
        using var response = await client.ChatAsync("first", 1, Ct);
        await response.AssertErrorAsync(HttpStatusCode.Unauthorized, "invalid_api_key", Ct);
        using var list = await client.GetAsync(new Uri("v1/models", UriKind.Relative), Ct);
        await list.AssertErrorAsync(HttpStatusCode.Unauthorized, "invalid_api_key", Ct);

        using var messages = await client.PostAsync(new Uri("v1/messages", UriKind.Relative), new StringContent("{}"), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, messages.StatusCode);
        Assert.Equal("authentication_error", (string?)(await messages.JsonAsync(Ct))["error"]!["type"]);

        using var health = await client.GetAsync(new Uri("health", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
    }

    [Theory(Timeout = Limit)]
    [InlineData("Authorization", "Bearer " + KeyedGateway.Anything)]
    [InlineData("authorization", "bearer " + KeyedGateway.Anything)]
    [InlineData("x-api-key", KeyedGateway.Anything)]
    public async Task Request_WithAValidKey_IsAnswered(string header, string value)
    {
        using var client = new HttpClient { BaseAddress = keyed.Gateway.DataUrl, DefaultRequestHeaders = { { header, value } } };
        using var response = await client.ChatAsync("second", 1, Ct);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Model_NotAmongTheKeys_Is403AndNotListed()
    {
        using var client = keyed.Gateway.WithKey(KeyedGateway.OnlyFirst);
        using var refused = await client.ChatAsync("second", 1, Ct);
        await refused.AssertErrorAsync(HttpStatusCode.Forbidden, "model_not_allowed", Ct);
        using var byName = await client.ChatAsync("first", 1, Ct);
        Assert.Equal(HttpStatusCode.OK, byName.StatusCode);
        using var byAlias = await client.ChatAsync("one", 1, Ct);
        Assert.Equal(HttpStatusCode.OK, byAlias.StatusCode);

        using var list = await client.GetAsync(new Uri("v1/models", UriKind.Relative), Ct);
        Assert.Equal(["first"], (await list.JsonAsync(Ct))["data"]!.AsArray().Select(entry => (string)entry!["id"]!));
    }

    [Fact(Timeout = Limit)]
    public async Task Request_WithoutModelAmongTwo_Is400()
    {
        using var client = keyed.Gateway.WithKey(KeyedGateway.Anything);
        using var content = new StringContent("""{"messages":[]}""");
        using var response = await client.PostAsync(new Uri("v1/chat/completions", UriKind.Relative), content, Ct);
        await response.AssertErrorAsync(HttpStatusCode.BadRequest, "missing_model", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Backend_AskedPastTheGateway_WantsAKeyThatIsInNoCommandLine()
    {
        var replica = (await keyed.Gateway.StatusAsync(Ct)).Replica("first/0");
        using var direct = new HttpClient { BaseAddress = new Uri(replica.Address!) };
        direct.DefaultRequestHeaders.Authorization = new("Bearer", KeyedGateway.Anything);
        using var refused = await direct.ChatAsync("first", 1, Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        if (OperatingSystem.IsLinux())
        {
            var environment = await File.ReadAllTextAsync($"/proc/{replica.Pid}/environ", Ct);
            var key = environment.Split('\0').Single(variable => variable.StartsWith("LLAMA_API_KEY=", StringComparison.Ordinal))["LLAMA_API_KEY=".Length..];
            Assert.True(key.Length >= 32);
            Assert.DoesNotContain(key, await File.ReadAllTextAsync($"/proc/{replica.Pid}/cmdline", Ct), StringComparison.Ordinal);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task ManagementToken_IsNoApiKey()
    {
        using var client = keyed.Gateway.WithKey((await File.ReadAllTextAsync(keyed.Gateway.TokenFile, Ct)).Trim());
        using var response = await client.ChatAsync("first", 1, Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Output_NeverHoldsASecret()
    {
        using var client = keyed.Gateway.WithKey("sk-wrong-7c1f");
        using var response = await client.ChatAsync("first", 1, Ct);
        Assert.DoesNotContain("sk-wrong-7c1f", keyed.Gateway.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(KeyedGateway.Anything, keyed.Gateway.Output, StringComparison.Ordinal);
    }
}
