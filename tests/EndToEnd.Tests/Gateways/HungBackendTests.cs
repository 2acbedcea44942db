using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Busy is not hung: what still works is never killed, what never will again is replaced. Fault numbers: <c>docs/faults.md</c>.</summary>
public sealed class HungBackendTests
{
    private const int Limit = 120_000;
    private const int SigStop = 19;

    /// <summary>A stall is seen after 2 s; streams wait longer than that, so that liveness speaks first.</summary>
    private const string Quick = """
        "Timeouts": { "FirstToken": "40s", "BetweenTokens": "30s" }, "Restart": { "InitialBackoff": "100ms" },
        "Probes": { "Readiness": { "Period": "500ms", "Timeout": "500ms" }, "Liveness": { "Period": "500ms", "StallTimeout": "2s" } }
        """;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Fault10_EngineFrozenBehindGreenEndpoints_IsReplacedAndItsStreamsSaySo()
    {
        await using var gateway = await StartAsync(1, Quick);
        var simulator = (await gateway.SimulatorsAsync(Ct))[0];
        var before = (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid;
        using var answer = await gateway.Data.StreamAsync("demo", 1000, Ct);
        await answer.ReadAsync(3, Ct);

        await simulator.SetFaultsAsync(new { engine = "frozen", commentMs = 100 }, Ct); // comments are no progress
        await answer.ReadToEndAsync(Ct);

        Assert.True(answer.IsBrokenHonestly, answer.ToString());
        var after = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
        Assert.Equal("hung", after.Replica("demo/0").LastExit!.Cause);
        Assert.Equal(1, await gateway.MetricAsync("llmgateway_process_exits_total", Ct, ("backend", "demo/0"), ("cause", "hung")));
        using var next = await gateway.Data.ChatAsync("demo", 3, Ct);
        Assert.True(next.IsSuccessStatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault11_BusyWithALongPrompt_IsNotKilledAndGetsNoNewWork()
    {
        await using var gateway = await StartAsync(1, Quick);
        var simulator = (await gateway.SimulatorsAsync(Ct))[0];
        var before = (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid;
        using var answer = await gateway.Data.StreamAsync("demo", 1000, Ct);
        await answer.ReadAsync(3, Ct);

        // No token, no answer to /health, but CPU: as a long prompt looks to older builds.
        await simulator.SetFaultsAsync(new { engine = "frozen", health = "hang", burnThreads = 1, tokenRate = 1000 }, Ct);
        await gateway.UntilAsync(status => status.Replica("demo/0").State == "busy", "busy", Ct);
        var next = gateway.Data.ChatAsync("demo", 3, Ct);
        await gateway.UntilAsync(status => status.Model("demo").Queue.Depth == 1, "the next request to wait", Ct);
        await UntilLookedAtAsync(gateway, "pass", 10); // more than two stall timeouts: this is what must not kill it
        Assert.Equal("busy", (await gateway.StatusAsync(Ct)).Replica("demo/0").State);

        await simulator.ClearFaultsAsync(Ct);
        await answer.ReadToEndAsync(Ct);
        Assert.True(answer.IsWhole, answer.ToString());
        using var response = await next;
        Assert.True(response.IsSuccessStatusCode);
        Assert.Equal(before, (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault10_EngineSpins_IsReplacedAfterTenTimesBetweenTokens()
    {
        await using var gateway = await StartAsync(1, Quick.Replace("\"30s\"", "\"400ms\"", StringComparison.Ordinal));
        var simulator = (await gateway.SimulatorsAsync(Ct))[0];
        var before = (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid;
        using var answer = await gateway.Data.StreamAsync("demo", 1000, Ct);
        await answer.ReadAsync(3, Ct);
        await simulator.SetFaultsAsync(new { engine = "frozen", burnThreads = 1 }, Ct);

        var after = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
        Assert.Equal("hung", after.Replica("demo/0").LastExit!.Cause);
        Assert.Contains("uses CPU", after.Replica("demo/0").LastExit!.Advice, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault9_Stopped_GetsSigcontOnceAndIsThenReplaced()
    {
        await using var gateway = await StartAsync(2, Quick);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid!.Value;

        ChildProcess.Signal(before, SigStop);
        await gateway.UntilAsync(status => status.Replica("demo/0").State == "not_ready", "not ready", Ct, TimeSpan.FromSeconds(6));
        await gateway.UntilAsync(status => status.Replica("demo/0").State == "ready", "SIGCONT to help", Ct);
        Assert.Equal(before, (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid);

        ChildProcess.Signal(before, SigStop);
        var after = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
        Assert.Equal(("hung", 1), (after.Replica("demo/0").LastExit!.Cause, after.Replica("demo/0").RestartsInWindow));
    }

    [Fact(Timeout = Limit)]
    public async Task Fault9_StoppedWhileItLoads_GetsSigcontAndComesUp()
    {
        await using var gateway = await StartAsync(1, """ "Args": ["--sim-load-ms", "1500"] """);
        var loading = (await gateway.UntilAsync(status => status.Replica("demo/0").State == "loading", "loading", Ct)).Replica("demo/0");
        ChildProcess.Signal(loading.Pid!.Value, SigStop);
        await gateway.Process.WaitForLineAsync(line => line.Contains("is sent SIGCONT", StringComparison.Ordinal), Ct);
        Assert.Equal(loading.Pid, (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid);
    }

    [Fact(Timeout = Limit)]
    public async Task Wedged_WhileIdle_IsReplaced()
    {
        await using var gateway = await StartAsync(1, Quick.Replace("\"StallTimeout\"", "\"Timeout\": \"500ms\", \"FailureThreshold\": 3, \"StallTimeout\"", StringComparison.Ordinal));
        var simulator = (await gateway.SimulatorsAsync(Ct))[0];
        var before = (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid;

        await simulator.SetFaultsAsync(new { engine = "stuck" }, Ct); // /health stays green

        var after = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
        Assert.Matches("did not answer /slots [34] times in a row", after.Replica("demo/0").LastExit!.Advice);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault66_SlotsLeak_AreTakenOutAndMostOfThemReplaceTheServer()
    {
        await using var gateway = await StartAsync(1, Quick);
        var simulator = (await gateway.SimulatorsAsync(Ct))[0];
        var before = (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid;

        await simulator.SetFaultsAsync(new { leakSlots = 2 }, Ct);
        await gateway.Data.StreamAllAsync(2, "demo", 3, Ct);
        await gateway.UntilAsync(status => status.Replica("demo/0").Slots is { Total: 4, Quarantined: 2 }, "two slots to be given up", Ct);
        Assert.Equal(before, (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid);

        // No request waits inside the server for a slot that never comes.
        var answers = await gateway.Data.StreamAllAsync(6, "demo", 3, Ct);
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Equal(0, (await simulator.GetStateAsync(Ct)).Deferred);

        await simulator.SetFaultsAsync(new { leakSlots = 3 }, Ct);
        await gateway.Data.StreamAllAsync(1, "demo", 3, Ct);
        var after = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
        Assert.Contains("3 of its 4 slots", after.Replica("demo/0").LastExit!.Advice, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Liveness_ThatAsks_RestartsAtTheThreshold()
    {
        await using var gateway = await StartAsync(
            2,
            """
            "Restart": { "InitialBackoff": "100ms" },
            "Probes": { "Liveness": { "Kind": "http", "Path": "/health", "Period": "200ms", "Timeout": "300ms", "FailureThreshold": 3 } }
            """);
        var simulators = await gateway.SimulatorsAsync(Ct);
        var before = await gateway.StatusAsync(Ct);

        await simulators[0].SetFaultsAsync(new { health = "error" }, Ct);

        var after = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before.Replica("demo/0").Pid, "a new process", Ct);
        Assert.Equal("hung", after.Replica("demo/0").LastExit!.Cause);
        Assert.Contains("HTTP status 500", after.Replica("demo/0").LastExit!.Advice, StringComparison.Ordinal);
        Assert.Equal(before.Replica("demo/1").Pid, after.Replica("demo/1").Pid);
        Assert.True(await gateway.MetricAsync("llmgateway_liveness_probes_total", Ct, ("result", "fail")) >= 3);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault58_AllLookHungAtOnce_NoneIsKilled()
    {
        var flag = Path.Combine(Path.GetTempPath(), $"llmgw-{Guid.NewGuid():n}");
        await using var gateway = await StartAsync(
            3,
            $$"""
            "Probes": { "Liveness": { "Kind": "exec", "Command": ["test", "!", "-e", "{{flag}}"], "Period": "300ms", "FailureThreshold": 2 } }
            """);
        var before = (await gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid).ToList();
        try
        {
            await File.WriteAllTextAsync(flag, "", Ct);
            await gateway.UntilAsync(status => status.Replicas.All(replica => replica.Probes!.Liveness == "failing"), "all to look hung", Ct);
            await gateway.Process.WaitForLineAsync(line => line.Contains("3 replicas look hung at once", StringComparison.Ordinal), Ct);
            await UntilLookedAtAsync(gateway, "fail", 15); // nothing may happen

            var during = await gateway.StatusAsync(Ct);
            Assert.Equal(before, during.Replicas.Select(replica => replica.Pid));
            Assert.All(during.Replicas, replica => Assert.Equal("ready", replica.State));
        }
        finally
        {
            File.Delete(flag);
        }

        await gateway.UntilAsync(status => status.Replicas.All(replica => replica.Probes!.Liveness == "passing"), "all to be well again", Ct);
        Assert.Equal(before, (await gateway.StatusAsync(Ct)).Replicas.Select(replica => replica.Pid));
    }

    /// <summary>Waits for so many more liveness probes.</summary>
    private static async Task UntilLookedAtAsync(GatewayProcess gateway, string result, int times)
    {
        Task<double> CountAsync() => gateway.MetricAsync("llmgateway_liveness_probes_total", Ct, ("result", result));
        var target = await CountAsync() + times;
        await Eventually.GetAsync(CountAsync, count => count >= target, $"{times} more liveness probes", Ct, TimeSpan.FromSeconds(30));
    }

    private static Task<GatewayProcess> StartAsync(int replicas, string rest) => GatewayProcess.StartAsync(
        $$"""
        { "Models": { "demo": { "Kind": "simulator", "Replicas": {{replicas}}, "Slots": 4, {{rest}} } } }
        """,
        Ct);
}
