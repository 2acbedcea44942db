using System.Diagnostics;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Children that do what children should not.</summary>
public sealed class UnrulyChildTests
{
    private const int Limit = 90_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Grandchild_HoldingTheOutputs_KeepsNeitherRestartNorStopWaiting()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Args": ["--sim-grandchild"], "Restart": { "InitialBackoff": "100ms" } } } }""", Ct);
        var first = (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid!.Value;
        var family = await Eventually.GetAsync(() => Task.FromResult(gateway.Descendants()), all => all.Count == 2, "a child and a grandchild", Ct);

        Process.GetProcessById(first).Kill();

        await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != first, "the replica to be back", Ct);
        await Eventually.TrueAsync(() => !family.Any(process => process.IsAlive), "the first family to be gone", Ct);
        await Eventually.GetAsync(() => Task.FromResult(gateway.Descendants()), all => all.Count == 2, "a new family", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task DeafChild_IsKilledAfterItsStopTimeout()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Args": ["--sim-ignore-sigterm"], "StopTimeout": "300ms" } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);

        gateway.Process.Signal(15);

        Assert.Equal(0, await gateway.Process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(20)));
    }

    [Fact(Timeout = Limit)]
    public async Task LogFlood_IsReadOnAndOnWithoutHarm()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Args": ["--sim-log-flood-bytes", "4000000", "--sim-bad-log"] } } }""", Ct);
        using var simulator = Assert.Single(await gateway.SimulatorsAsync(Ct));

        var answers = await gateway.Data.StreamAllAsync(4, "demo", 50, Ct);

        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.InRange((await simulator.GetStateAsync(Ct)).LongestLogWriteMs, 0, 5_000);
        var log = await gateway.Management.GetStringAsync(new Uri("api/replicas/demo/0/logs?tail=2000", UriKind.Relative), Ct);
        Assert.Contains("flood", log, StringComparison.Ordinal);
        Assert.DoesNotContain('\0', log);
        Assert.DoesNotContain('\u001b', log);
    }
}
