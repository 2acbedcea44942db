using System.Text.Json.Nodes;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Real llama-servers that share a budget which holds two of five.</summary>
[Trait("Suite", "Real")]
public sealed class OnDemandRealServerTests
{
    public OnDemandRealServerTests() => RealServer.SkipIfAbsent();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 300_000)]
    public async Task FiveModelsOfWhichTwoFit_AllAreAnsweredAndNoMoreThanTwoLive()
    {
        // Without a word about sizes: they are read from the file.
        var models = new JsonObject();
        for (var i = 0; i < 5; i++)
        {
            models[$"m{i}"] = new JsonObject
            {
                ["Kind"] = "llama-server",
                ["Executable"] = RealServer.Executable,
                ["Args"] = new JsonArray("-m", RealServer.TinyModel, "--ctx-size", "2048"),
                ["Load"] = "on-demand",
                ["Slots"] = 2,
            };
        }

        await using var gateway = await GatewayProcess.StartAsync(new JsonObject { ["Memory"] = new JsonObject { ["Budget"] = "1GiB" }, ["Models"] = models.DeepClone() }.ToJsonString(), Ct);
        await gateway.UntilAsync(status => status.Models.All(model => model.State == "unloaded"), "nothing to be loaded", Ct);
        var size = await gateway.MetricAsync("llmgateway_memory_estimated_bytes", Ct, ("backend", "m0/0"));
        Assert.InRange(size, 1 << 20, 1 << 28);

        // Two and a half of them.
        gateway.Configure(new JsonObject { ["Memory"] = new JsonObject { ["Budget"] = (long)(size * 2.5) }, ["Models"] = models }.ToJsonString());
        using (var reload = await gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct))
        {
            Assert.True(reload.IsSuccessStatusCode);
        }

        using var done = new CancellationTokenSource();
        var watch = WatchAsync();
        var answers = await OnDemandTests.AskForFiveAsync(gateway, 8);
        await done.CancelAsync();
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.InRange(await watch, 1, 2);

        async Task<int> WatchAsync()
        {
            var most = 0;
            using var period = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
            while (!done.IsCancellationRequested)
            {
                most = Math.Max(most, (await gateway.StatusAsync(Ct)).Replicas.Count(replica => replica.Pid is not null));
                await period.WaitForNextTickAsync(Ct);
            }

            return most;
        }
    }
}
