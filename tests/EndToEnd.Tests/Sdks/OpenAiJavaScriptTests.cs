using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Sdks;

/// <summary>What a client with OpenAI's own JavaScript SDK sees: <c>openai.test.mjs</c> says it, this runs it.</summary>
[Collection(nameof(SdkGatewayUsers))]
[Trait("Suite", "Real")]
public sealed class OpenAiJavaScriptTests
{
    private readonly SdkGateway _sdk;

    public OpenAiJavaScriptTests(SdkGateway sdk)
    {
        RealServer.SkipIfAbsent();
        _sdk = sdk;
    }

    private static string Folder { get; } = Path.Combine(RepositoryPaths.Root, "tests", "EndToEnd.Tests", "Sdks", "JavaScript");

    [Fact(Timeout = 120_000)]
    public async Task Suite_OfTheSdk_Passes()
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(Folder, "node_modules", "openai")), $"The SDK is not installed: npm ci --prefix {Folder}");
        var environment = new Dictionary<string, string?>
        {
            ["GATEWAY_URL"] = _sdk.Gateway.DataUrl.AbsoluteUri,
            ["GATEWAY_KEY"] = SdkGateway.Key,
            ["GATEWAY_MODEL"] = SdkGateway.Model,
            ["GATEWAY_EMBEDDING_MODEL"] = SdkGateway.Model,
            ["GATEWAY_SATURATED_MODEL"] = SdkGateway.Saturated,
        };
        await using var node = ChildProcess.Start(
            Environment.GetEnvironmentVariable("LLMGATEWAY_NODE") is { Length: > 0 } path ? path : "node", ["--test", "openai.test.mjs"], environment, Folder);

        var exit = await node.WaitForExitAsync(TestContext.Current.CancellationToken, TimeSpan.FromSeconds(100));
        await node.WaitForOutputAsync(TestContext.Current.CancellationToken);

        Assert.True(exit == 0, node.Output);
    }
}
