using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Sdks;

/// <summary>What clients with OpenAI's and Anthropic's own JavaScript SDKs see: the <c>.test.mjs</c> files say it, this runs them.</summary>
[Collection(nameof(SdkGatewayUsers))]
[Trait("Suite", "Real")]
public sealed class JavaScriptTests
{
    private readonly SdkGateway _sdk;

    public JavaScriptTests(SdkGateway sdk)
    {
        RealServer.SkipIfAbsent();
        _sdk = sdk;
    }

    private static string Folder { get; } = Path.Combine(RepositoryPaths.Root, "tests", "EndToEnd.Tests", "Sdks", "JavaScript");

    [Theory(Timeout = 120_000)]
    [InlineData("openai", "openai.test.mjs")]
    [InlineData("@anthropic-ai/sdk", "anthropic.test.mjs")]
    public async Task Suite_OfTheSdk_Passes(string sdk, string suite)
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine([Folder, "node_modules", .. sdk.Split('/')])), $"The SDK is not installed: npm ci --prefix {Folder}");
        var environment = new Dictionary<string, string?>
        {
            ["GATEWAY_URL"] = _sdk.Gateway.DataUrl.AbsoluteUri,
            ["GATEWAY_KEY"] = SdkGateway.Key,
            ["GATEWAY_MODEL"] = SdkGateway.Model,
            ["GATEWAY_EMBEDDING_MODEL"] = SdkGateway.Model,
            ["GATEWAY_SATURATED_MODEL"] = SdkGateway.Saturated,
            ["GATEWAY_BUSY_MODEL"] = SdkGateway.Busy,
            ["GATEWAY_BREAKING_MODEL"] = SdkGateway.Breaking,
            ["GATEWAY_TOOLS_MODEL"] = SdkGateway.Tools,
        };
        await using var node = ChildProcess.Start(
            Environment.GetEnvironmentVariable("LLMGATEWAY_NODE") is { Length: > 0 } path ? path : "node", ["--test", suite], environment, Folder);

        var exit = await node.WaitForExitAsync(TestContext.Current.CancellationToken, TimeSpan.FromSeconds(100));
        await node.WaitForOutputAsync(TestContext.Current.CancellationToken);

        Assert.True(exit == 0, node.Output);
    }
}
