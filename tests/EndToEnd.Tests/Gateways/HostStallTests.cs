using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>The gateway, or the whole machine, is held up for a while. What was found late says nothing about backends.</summary>
public sealed class HostStallTests
{
    private const int SigStop = 19;
    private const int SigCont = 18;

    /// <summary>Twice the stall timeout, and ten periods of every probe.</summary>
    private static readonly TimeSpan Stall = TimeSpan.FromSeconds(4);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120_000)]
    public async Task Fault37_GatewayOrMachineIsHeldUp_NothingIsKilledAndStreamsGoOn()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 1, "Args": ["--sim-token-rate", "20"],
                "Probes": { "Readiness": { "Period": "400ms", "Timeout": "400ms", "FailureThreshold": 2 },
                            "Liveness": { "Period": "400ms", "Timeout": "400ms", "FailureThreshold": 2, "StallTimeout": "2s" } } } } }
            """,
            Ct);
        var before = (await gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid!.Value).ToList();
        using var stream = await gateway.Data.StreamAsync("demo", 300, Ct); // one works, one is idle
        await stream.ReadAsync(3, Ct);

        await HoldAsync([gateway.Process.Id]);
        await UntilLookedAtAsync(gateway, 8);
        await HoldAsync([gateway.Process.Id, .. before]);
        await UntilLookedAtAsync(gateway, 8);

        await stream.ReadToEndAsync(Ct);
        Assert.True(stream.IsWhole, stream.ToString());
        Assert.Equal(before, (await gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid!.Value));
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct));
        Assert.DoesNotContain("Supervisor[2004]", gateway.Output, StringComparison.Ordinal); // not even taken out of traffic
    }

    private static async Task HoldAsync(IReadOnlyList<int> pids)
    {
        foreach (var pid in pids)
        {
            ChildProcess.Signal(pid, SigStop);
        }

        using var timer = new PeriodicTimer(Stall);
        await timer.WaitForNextTickAsync(Ct); // what is injected is the passing of time
        foreach (var pid in pids)
        {
            ChildProcess.Signal(pid, SigCont);
        }
    }

    /// <summary>Waits for so many more liveness probes.</summary>
    private static async Task UntilLookedAtAsync(GatewayProcess gateway, int times)
    {
        Task<double> CountAsync() => gateway.MetricAsync("llmgateway_liveness_probes_total", Ct);
        var target = await CountAsync() + times;
        await Eventually.GetAsync(CountAsync, count => count >= target, $"{times} more liveness probes", Ct, TimeSpan.FromSeconds(30));
    }
}
