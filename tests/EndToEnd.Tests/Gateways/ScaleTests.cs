using System.Net;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Models that get more processes while requests wait, and give them back.</summary>
public sealed class ScaleTests
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Load_GrowsWithinTheMemory_AndGivesBackWithoutCuttingAStream()
    {
        // The budget holds three of the four that the model may have.
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Memory": { "Budget": "350MiB" }, "Models": { "m": {
              "Kind": "simulator", "MemoryBytes": "100MiB", "Slots": 2, "SlowStart": "0s", "Args": ["--sim-token-rate", "20"], "Queue": { "MaxDepth": 200 },
              "Replicas": 1, "Scale": { "MaxReplicas": 4, "UpAfter": "200ms", "DownAfter": "1s" } } } }
            """, Ct);
        await gateway.UntilReadyAsync(Ct);
        using var done = new CancellationTokenSource();
        var most = gateway.MostDescendantsAsync(done.Token);
        var burst = gateway.Data.StreamAllAsync(40, "m", 20, Ct);
        await gateway.UntilAsync(status => status.Replicas.Count(replica => replica.State == "ready") == 3, "three replicas", Ct);
        Assert.Equal(3, await gateway.MetricAsync("llmgateway_replicas_wanted", Ct, ("model", "m")));
        Assert.All(await burst, answer => Assert.True(answer.IsWhole, answer.ToString()));

        // Of a stream on each slot only one on the last replica stays: that is given back, when the stream is whole.
        var streams = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => gateway.Data.StreamAsync("m", 120, Ct)));
        using var last = streams.First(stream => stream.Backend == "m/2");
        Array.ForEach([.. streams.Where(stream => stream != last)], stream => stream.Dispose());
        await gateway.UntilAsync(status => status.Replica("m/2") is { State: "draining", Slots.Busy: 1 }, "one to be given back while it works", Ct);
        Assert.True((await last.ReadToEndAsync(Ct)).IsWhole);
        var after = await gateway.UntilAsync(status => status.Replicas.Count() == 1, "one replica", Ct);
        Assert.Equal("m/0", after.Replicas.Single().Backend);
        await done.CancelAsync();
        Assert.Equal(3, await most);
    }

    [Fact(Timeout = Limit)]
    public async Task Order_MoreThanTheMemoryHolds_IsRefusedWithTheNumbers_AndIdleModelsMakeRoom()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Memory": { "Budget": "350MiB" }, "Models": {
              "m": { "Kind": "simulator", "MemoryBytes": "100MiB", "Replicas": 2 },
              "idle": { "Kind": "simulator", "MemoryBytes": "100MiB", "Load": "on-demand" } } }
            """, Ct);
        await gateway.UntilAsync(status => status.Model("m").State == "ready", "the eager one", Ct);
        Assert.True(Assert.Single(await gateway.Data.StreamAllAsync(1, "idle", 2, Ct)).IsWhole);

        using (var refused = await OrderAsync("m/scale/4?wait=true"))
        {
            var error = await refused.AssertErrorAsync(HttpStatusCode.Conflict, "not_done", Ct);
            Assert.Contains("not enough memory for 4 replicas: it needs 200 MiB; of a budget of 350 MiB, 300 MiB are taken", (string?)error["message"], StringComparison.Ordinal);
        }

        Assert.Equal(2, (await gateway.StatusAsync(Ct)).Model("m").Replicas.Count);
        using (var grown = await OrderAsync("m/scale/3?wait=true"))
        {
            Assert.Equal(HttpStatusCode.OK, grown.StatusCode);
        }

        await gateway.UntilAsync(status => status.Model("m").Replicas.Count(replica => replica.State == "ready") == 3 && status.Model("idle").State == "unloaded", "the idle one's room", Ct);

        // What the file asks for beyond the memory is told, and comes when there is room.
        gateway.Configure(
            """
            { "Memory": { "Budget": "350MiB" }, "Models": {
              "m": { "Kind": "simulator", "MemoryBytes": "100MiB", "Replicas": 4 },
              "idle": { "Kind": "simulator", "MemoryBytes": "100MiB", "Load": "on-demand" } } }
            """);
        var told = await gateway.UntilAsync(status => status.Gateway.Config.Errors.Count > 0, "the reload to tell", Ct);
        Assert.Contains("Models:m: There is not enough memory for 4 replicas", told.Gateway.Config.Errors.Single(), StringComparison.Ordinal);
        Assert.Equal(3, told.Model("m").Replicas.Count);
        gateway.Configure("""{ "Memory": { "Budget": "450MiB" }, "Models": { "m": { "Kind": "simulator", "MemoryBytes": "100MiB", "Replicas": 4 } } }""");
        await gateway.UntilAsync(status => status.Model("m").Replicas.Count(replica => replica.State == "ready") == 4, "the fourth", Ct);

        Task<HttpResponseMessage> OrderAsync(string order) => gateway.Management.PostAsync(new Uri($"api/models/{order}", UriKind.Relative), null, Ct);
    }
}
