using System.Diagnostics;
using System.Net.Http.Json;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Faults of many replicas under live traffic: nothing fails but the streams that died, and nothing storms. Numbers: <c>docs/faults.md</c>.</summary>
public sealed class PoolFaultTests
{
    private const int Limit = 120_000;
    private const int SigKill = 9;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Fault8_RequestThatCrashesItsServer_IsQuarantinedAndThePoolSurvives()
    {
        await using var gateway = await StartAsync(3, """ "Restart": { "InitialBackoff": "20s" }, "Args": ["--sim-exit-on-marker", "poison", "--sim-exit-signal", "SEGV"] """);
        await gateway.UntilReadyAsync(Ct);
        var body = Conversation.ChatBody("demo", 3, stream: false);
        body["messages"]![0]!["content"] = "poison";

        using var refused = await gateway.Data.PostAsJsonAsync("v1/chat/completions", body, Ct);

        await refused.AssertErrorAsync(System.Net.HttpStatusCode.UnprocessableEntity, "request_quarantined", Ct);
        var after = await gateway.StatusAsync(Ct);
        Assert.Single(after.Replicas, replica => replica.State == "ready");
        Assert.Equal(2, after.Replicas.Count(replica => replica.LastExit is { Cause: "crash", Signal: 11 }));
        using var next = await gateway.Data.ChatAsync("demo", 3, Ct);
        Assert.True(next.IsSuccessStatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault13_ReadinessFlaps_NoRequestFailsAndNothingRestarts()
    {
        await using var gateway = await StartAsync(2, """ "Probes": { "Readiness": { "Period": "100ms", "Timeout": "500ms", "FailureThreshold": 1 } } """);
        var before = (await gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid).ToList();
        await using var traffic = LiveTraffic.Start(gateway.Data, 6, "demo", 5);

        var simulators = await gateway.SimulatorsAsync(Ct);
        await simulators[0].SetFaultsAsync(new { healthFlapMs = 500 }, Ct);
        for (var round = 0; round < 3; round++)
        {
            await gateway.UntilAsync(status => status.Replica("demo/0").State == "not_ready", "not ready", Ct);
            await gateway.UntilAsync(status => status.Replica("demo/0").State == "ready", "ready", Ct);
        }

        Assert.Empty(await traffic.StopAsync(Ct));
        TestContext.Current.TestOutputHelper?.WriteLine($"three times away and back: {traffic.Count} requests, none failed, no restart");
        Assert.Equal(before, (await gateway.StatusAsync(Ct)).Replicas.Select(replica => replica.Pid));
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct));
    }

    [Fact(Timeout = Limit)]
    public async Task Fault56_HalfOfThemDieAtOnce_OnlyTheirStreamsBreakAndTheyComeBackByTwos()
    {
        await using var gateway = await StartAsync(6, """ "Restart": { "InitialBackoff": "100ms" }, "Args": ["--sim-load-ms", "400"] """);
        var victims = (await gateway.UntilReadyAsync(Ct)).Replicas.Take(3).ToList();
        await using var traffic = LiveTraffic.Start(gateway.Data, 12, "demo", 10);
        await Eventually.TrueAsync(() => traffic.Count >= 24, "traffic", Ct);

        var died = Stopwatch.StartNew();
        victims.ForEach(victim => ChildProcess.Signal(victim.Pid!.Value, SigKill));
        var mostLoading = 0;
        await gateway.UntilAsync(
            status =>
            {
                mostLoading = Math.Max(mostLoading, status.Replicas.Count(replica => replica.State is "starting" or "loading" or "warming"));
                return victims.All(victim => status.Replica(victim.Backend) is { State: "ready", Pid: var pid } && pid != victim.Pid);
            },
            "the dead to be back", Ct, TimeSpan.FromSeconds(60));
        died.Stop();
        var since = traffic.Count;
        await Eventually.TrueAsync(() => traffic.Count >= since + 24, "traffic afterwards", Ct);

        var broken = await traffic.StopAsync(Ct);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"three of six killed: back after {died.Elapsed.TotalSeconds:0.0} s, at most {mostLoading} loading at once; {traffic.Count} requests, {broken.Count} streams broke, all honestly, none else failed");
        Assert.True(broken.Count <= 6, $"{broken.Count} broken, but only six slots died");
        Assert.All(broken, answer => Assert.True(answer.IsBrokenHonestly && victims.Any(victim => victim.Backend == answer.Backend), answer.ToString()));
        Assert.True(traffic.Closed <= broken.Count, $"{traffic.Closed} connections ended under a request, but only {broken.Count} streams broke");
        Assert.InRange(mostLoading, 0, 2); // start permits
        Assert.Equal(3, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct));
    }

    [Fact(Timeout = Limit)]
    public async Task Fault57_AllDie_WhoWaitsIsServedWhenTheyAreBack()
    {
        await using var gateway = await StartAsync(4, """ "Restart": { "InitialBackoff": "100ms" }, "Args": ["--sim-load-ms", "300"] """);
        var before = (await gateway.UntilReadyAsync(Ct)).Replicas.ToList();

        before.ForEach(victim => ChildProcess.Signal(victim.Pid!.Value, SigKill));
        var answers = await gateway.Data.StreamAllAsync(30, "demo", 3, Ct);

        // A request may have been sent to one in the moment of its death: before its first byte, so it goes elsewhere.
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        var after = await gateway.UntilReadyAsync(Ct);
        Assert.All(after.Replicas, replica => Assert.Equal(1, replica.RestartsInWindow));
    }

    [Fact(Timeout = Limit)]
    public async Task Fault61_BadBuildEverywhere_StopsAtTheBudgetAndSaysWhenItTriesAgain()
    {
        await using var gateway = await StartAsync(4, """ "Restart": { "InitialBackoff": "20ms", "MaxBackoff": "100ms", "MaxRestarts": 3 }, "Args": ["--sim-exit-at", "start"] """);

        var failed = await gateway.UntilAsync(status => status.Replicas.All(replica => replica.State == "failed"), "all to have failed", Ct);

        Assert.All(failed.Replicas, replica =>
        {
            Assert.Equal((3, "crash"), (replica.RestartsInWindow, replica.LastExit!.Cause));
            Assert.InRange((replica.NextTryAt!.Value - TimeProvider.System.GetUtcNow()).TotalSeconds, 200, 300);
        });
        Assert.Equal(16, await gateway.MetricAsync("llmgateway_process_exits_total", Ct, ("cause", "crash"))); // four starts each, and no more
        Assert.Equal(4, await gateway.MetricAsync("llmgateway_restart_limit_hits_total", Ct));
        using var refused = await gateway.Data.ChatAsync("demo", 1, Ct);
        await refused.AssertErrorAsync(System.Net.HttpStatusCode.ServiceUnavailable, "model_loading_failed", Ct);
        refused.AssertRetryAfter();
    }

    private static Task<GatewayProcess> StartAsync(int replicas, string rest) => GatewayProcess.StartAsync(
        $$"""
        { "Models": { "demo": { "Kind": "simulator", "Replicas": {{replicas}}, "Slots": 2, {{rest}} } } }
        """,
        Ct);
}
