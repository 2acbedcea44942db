using System.Net;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Backends that are not the gateway's usual TCP child: Unix sockets, other people's servers, other programs.</summary>
public sealed class BackendKindTests
{
    private const int Limit = 90_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task UnixSockets_CarryEverything()
    {
        string[] sockets;
        await using (var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 2, "Transport": "unix", "Restart": { "InitialBackoff": "100ms" } } } }""", Ct))
        {
            var status = await gateway.UntilReadyAsync(Ct);
            sockets = [.. status.Replicas.Select(replica => replica.Address!["unix:".Length..])];
            Assert.All(sockets, socket => Assert.True(File.Exists(socket), socket));

            var answers = await gateway.Data.StreamAllAsync(12, "demo", 5, Ct);
            Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
            foreach (var simulator in await gateway.SimulatorsAsync(Ct))
            {
                var state = await simulator.GetStateAsync(Ct);
                Assert.Equal(0, state.DeferredPeak);
                Assert.True(state.Answered > 0);
                simulator.Dispose();
            }

            // One that is gone leaves its socket's file behind: the next must come up all the same.
            var pid = status.Replica("demo/0").Pid!.Value;
            System.Diagnostics.Process.GetProcessById(pid).Kill();
            await gateway.UntilAsync(now => now.Replica("demo/0") is { State: "ready", Pid: var next } && next != pid, "demo/0 to be back", Ct);
        }

        Assert.All(sockets, socket => Assert.False(File.Exists(socket), socket));
    }

    [Fact(Timeout = Limit)]
    public async Task Remote_GoesAwayAndComesBack_ItsRequestsWait()
    {
        var key = Path.GetTempFileName();
        await File.WriteAllTextAsync(key, "remote-key-0123456789\n", Ct);
        var environment = new Dictionary<string, string?> { ["LLAMA_API_KEY"] = "remote-key-0123456789" };
        await using var first = await SimulatorProcess.StartAsync(["--parallel", "2"], true, Ct, environment);
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Models": { "far": {
                "Kind": "remote",
                "Remotes": [ { "Url": "{{first.BaseAddress}}", "Slots": 2, "KeyFile": "{{key}}" } ],
                "Probes": { "Readiness": { "Period": "100ms", "FailureThreshold": 1 } } } } }
            """,
            Ct);
        var ready = await gateway.UntilReadyAsync(Ct);
        Assert.Equal(("unknown", "passing", "unknown"), (ready.Replica("far/0").Probes!.Startup, ready.Replica("far/0").Probes!.Readiness, ready.Replica("far/0").Probes!.Liveness));
        var answers = await gateway.Data.StreamAllAsync(10, "far", 5, Ct);
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Equal(0, (await first.GetStateAsync(Ct)).DeferredPeak);

        await first.DisposeAsync();
        var gone = await gateway.UntilAsync(status => status.Replica("far/0").State == "not_ready", "the remote to be missed", Ct);
        Assert.NotNull(gone.Replica("far/0").NotRoutableBecause);
        Assert.Equal("failing", gone.Replica("far/0").Probes!.Readiness);
        using var unready = await gateway.Management.GetAsync(new Uri("readyz", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unready.StatusCode);
        var waiting = gateway.Data.StreamAllAsync(3, "far", 5, Ct);
        await gateway.UntilAsync(status => status.Model("far").Queue.Depth == 3, "three to wait", Ct);

        await using var second = await SimulatorProcess.StartAsync(
            ["--parallel", "2", "--port", first.BaseAddress.Port.ToString(System.Globalization.CultureInfo.InvariantCulture)], true, Ct, environment);
        Assert.All(await waiting, answer => Assert.True(answer.IsWhole, answer.ToString()));
        File.Delete(key);
    }

    [Fact(Timeout = Limit)]
    public async Task Command_IsRunAsWritten()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Models": { "own": {
                "Kind": "command",
                "Executable": "{{SimulatorProcess.Executable}}",
                "Args": ["--host", "{host}", "--port", "{port}", "--parallel", "{slots}", "--alias", "{model}-{replica}"],
                "Replicas": 2, "Slots": 3, "Restart": { "InitialBackoff": "100ms" } } } }
            """,
            Ct);
        var status = await gateway.UntilReadyAsync(Ct);
        Assert.All(status.Replicas, replica => Assert.Equal(("command", 3), (replica.Kind, replica.Slots.Total)));

        var answers = await gateway.Data.StreamAllAsync(12, "own", 5, Ct);

        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Contains(answers, answer => answer.Events[0].Contains("\"own-0\"", StringComparison.Ordinal));
        Assert.Contains(answers, answer => answer.Events[0].Contains("\"own-1\"", StringComparison.Ordinal));
        foreach (var simulator in await gateway.SimulatorsAsync(Ct))
        {
            Assert.Equal(0, (await simulator.GetStateAsync(Ct)).DeferredPeak);
            simulator.Dispose();
        }

        var pid = status.Replica("own/1").Pid!.Value;
        System.Diagnostics.Process.GetProcessById(pid).Kill();
        await gateway.UntilAsync(now => now.Replica("own/1") is { State: "ready", Pid: var next } && next != pid, "own/1 to be back", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Command_MissingProgram_FailsWithCauseAndAdvice()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "own": { "Kind": "command", "Executable": "/no/such/program" } } }""", Ct);
        var status = await gateway.UntilAsync(status => status.Model("own").State == "failed", "a failure", Ct);
        var exit = status.Replica("own/0").LastExit!;
        Assert.Equal("permanent_config", exit.Cause);
        Assert.Contains("/no/such/program", exit.Advice, StringComparison.Ordinal);
    }
}
