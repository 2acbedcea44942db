using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>The dashboard in a browser: <c>dashboard.test.mjs</c> says what is expected of it, this runs it.</summary>
[Trait("Suite", "Browser")]
public sealed class DashboardTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static string Folder { get; } = Path.Combine(RepositoryPaths.Root, "tests", "EndToEnd.Tests", "Operations", "Browser");

    [Fact(Timeout = 300_000)]
    public async Task Page_InChromium_DoesWhatIsExpected()
    {
        var chromium = Environment.GetEnvironmentVariable("LLMGATEWAY_CHROMIUM");
        Assert.SkipUnless(File.Exists(chromium), "There is no Chromium: eng/install-chromium.sh brings one, LLMGATEWAY_CHROMIUM names it");
        Assert.SkipUnless(Directory.Exists(Path.Combine(Folder, "node_modules", "playwright-core")), $"Its driver is not installed: npm ci --prefix {Folder}");
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "qwen3-8b": { "Kind": "simulator", "Aliases": ["gpt-4o-mini"], "Replicas": 2, "Slots": 4, "MemoryBytes": "160MiB", "Args": ["--sim-token-rate", "40"], "Restart": { "InitialBackoff": "3s" } },
                "gemma-3-27b": { "Kind": "simulator", "Replicas": 1, "Slots": 2, "MemoryBytes": "120MiB", "Args": ["--sim-token-rate", "15"] } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        var environment = new Dictionary<string, string?>
        {
            ["GATEWAY_URL"] = gateway.DataUrl.AbsoluteUri,
            ["DASHBOARD_URL"] = gateway.ManagementUrl.AbsoluteUri,
            ["DASHBOARD_TOKEN"] = (await File.ReadAllTextAsync(gateway.TokenFile, Ct)).Trim(),
            ["CHROMIUM"] = chromium,
            ["SCREENSHOTS"] = Environment.GetEnvironmentVariable("LLMGATEWAY_SCREENSHOTS"),
        };
        await using var node = ChildProcess.Start(
            Environment.GetEnvironmentVariable("LLMGATEWAY_NODE") is { Length: > 0 } path ? path : "node", ["--test", "--test-reporter", "spec", "dashboard.test.mjs"], environment, Folder);

        var exit = await node.WaitForExitAsync(Ct, TimeSpan.FromSeconds(280));
        await node.WaitForOutputAsync(Ct);

        Assert.True(exit == 0, node.Output);
    }
}
