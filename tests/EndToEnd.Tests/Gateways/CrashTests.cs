using System.Diagnostics;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>What clients notice when a replica dies under them.</summary>
public sealed class CrashTests
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Fault6_Kill_OneReplicaUnderFiftyStreams_LosesOnlyItsOwn()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 8, "Args": ["--sim-token-rate", "20"], "Restart": { "InitialBackoff": "100ms" } } } }
            """,
            Ct);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid!.Value;

        var headers = Enumerable.Range(0, 50).Select(_ => gateway.Data.StreamAsync("demo", 60, Ct)).ToList();
        await gateway.UntilAsync(status => status.Replicas.Sum(replica => replica.Slots.Busy) == 16 && status.Model("demo").Queue.Depth == 34, "16 streams and 34 in the queue", Ct);
        var begun = new List<StreamedAnswer>();
        await foreach (var one in Task.WhenEach(headers).WithCancellation(Ct))
        {
            begun.Add(await (await one).ReadAsync(2, Ct));
            if (begun.Count == 16)
            {
                break;
            }
        }

        Process.GetProcessById(before).Kill();
        var answers = await Task.WhenAll(headers.Select(async one => await (await one).ReadToEndAsync(Ct)));

        var lost = begun.Where(answer => answer.Backend == "demo/0").ToList();
        Assert.Equal(8, lost.Count);
        Assert.All(lost, answer => Assert.True(answer.IsBrokenHonestly, answer.ToString()));
        Assert.All(answers.Except(lost), answer => Assert.True(answer.IsWhole, answer.ToString()));

        var back = await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "demo/0 to be back", Ct);
        Assert.Equal((9, "external_kill"), (back.Replica("demo/0").LastExit!.Signal, back.Replica("demo/0").LastExit!.Cause));
        Assert.Equal(1, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct, ("backend", "demo/0")));
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct, ("backend", "demo/1")));
        Assert.Equal(8, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "stream_broken")));
        Assert.Equal(42, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "ok")));
    }

    [Fact(Timeout = Limit)]
    public async Task Fault7_Kill_BeforeTheFirstByte_AnotherReplicaAnswers()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4 } } }""", Ct);
        var simulators = await gateway.SimulatorsAsync(Ct);
        await simulators[0].SetFaultsAsync(new { inference = "hang" }, Ct);
        var victim = (await gateway.StatusAsync(Ct)).Replica("demo/0").Pid!.Value;

        var streams = gateway.Data.StreamAllAsync(4, "demo", 5, Ct);
        var wholes = Task.WhenAll(Enumerable.Range(0, 4).Select(_ => gateway.Data.ChatAsync("demo", 5, Ct)));
        await gateway.UntilAsync(status => status.Replica("demo/0").Slots.Busy == 4, "four requests to hang on demo/0", Ct);
        Process.GetProcessById(victim).Kill();

        Assert.All(await streams, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.All(await wholes, answer => Assert.True(answer.IsSuccessStatusCode));
        var attempts = (await streams).Select(answer => answer.Response).Concat(await wholes).Select(response => response.Header("x-llmgateway-attempts")).ToList();
        Assert.Equal(4, attempts.Count(count => count == "2"));
        Assert.Equal(4, attempts.Count(count => count == "1"));
    }
}
