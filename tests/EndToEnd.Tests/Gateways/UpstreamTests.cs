using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>What an administrator's key reaches of a real llama-server, and what it does not.</summary>
[Trait("Suite", "Real")]
public sealed class UpstreamTests
{
    private const string Admin = "sk-admin-0123456789";
    private const string Plain = "sk-plain-0123456789";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120_000)]
    public async Task AdminKey_ReachesTheRestOfARealServerAndNoOtherKeyDoes()
    {
        RealServer.SkipIfAbsent();
        using var slotFiles = new TemporaryFolder();
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Keys": [ { "Name": "admin", "Hash": "{{Hash(Admin)}}", "Admin": true }, { "Name": "plain", "Hash": "{{Hash(Plain)}}" } ],
              "Models": { "org/tiny:1": { "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{RealServer.TinyModel}}", "-c", "2048", "--slot-save-path", "{{slotFiles.Path}}/"], "Slots": 2 } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        using var admin = gateway.WithKey(Admin);
        using var plain = gateway.WithKey(Plain);

        var props = await GetAsync(admin, "upstream/org/tiny:1/props");
        Assert.Equal(2, (int)props["total_slots"]!);
        var slots = await GetAsync(admin, "upstream/org%2Ftiny%3A1/slots");
        Assert.Equal(2, slots.AsArray().Count);
        Assert.Contains("llamacpp:requests_deferred", await admin.GetStringAsync(new Uri("upstream/org/tiny:1/metrics", UriKind.Relative), Ct), StringComparison.Ordinal);
        using var erased = await admin.PostAsJsonAsync("upstream/org/tiny:1/slots/0?action=erase", new { }, Ct);
        Assert.Equal(HttpStatusCode.OK, erased.StatusCode);
        using var refused = await admin.PostAsJsonAsync("upstream/org/tiny:1/props", new { }, Ct);
        Assert.Equal(HttpStatusCode.NotImplemented, refused.StatusCode);
        using var answered = await admin.PostAsJsonAsync("upstream/org/tiny:1/v1/chat/completions", Conversation.ChatBody("another", 4, stream: false), Ct);
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);
        Assert.Equal("org/tiny:1/0", answered.Header("x-llmgateway-backend"));

        foreach (var path in new[] { "props", "slots", "metrics", "v1/models" })
        {
            using var forbidden = await plain.GetAsync(new Uri($"upstream/org/tiny:1/{path}", UriKind.Relative), Ct);
            await forbidden.AssertErrorAsync(HttpStatusCode.Forbidden, "model_not_allowed", Ct);
        }

        using var hidden = await admin.GetAsync(new Uri("upstream/org/tiny:1/tools", UriKind.Relative), Ct);
        await hidden.AssertErrorAsync(HttpStatusCode.NotFound, "unknown_endpoint", Ct);
    }

    private static async Task<JsonNode> GetAsync(HttpClient client, string path) => JsonNode.Parse(await client.GetStringAsync(new Uri(path, UriKind.Relative), Ct))!;

    private static string Hash(string secret) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
}
