using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Models that come when they are asked for and go when they are not.</summary>
public sealed class OnDemandTests
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task FirstRequests_StartTheModelOnceAndAreAllAnswered_AndSilenceUnloadsIt()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "m": { "Kind": "simulator", "Load": "on-demand", "IdleTimeout": "1s", "Args": ["--sim-load-ms", "1000"] } } }""", Ct);
        var before = await gateway.UntilAsync(status => status.Model("m").State == "unloaded", "an unloaded model", Ct);
        Assert.Null(before.Replicas.Single().Pid);
        Assert.Equal("ready", await gateway.Management.GetStringAsync(new Uri("readyz", UriKind.Relative), Ct));
        using (var health = await gateway.Data.GetAsync(new Uri("health", UriKind.Relative), Ct))
        {
            Assert.Equal(HttpStatusCode.OK, health.StatusCode);
        }

        var answers = await gateway.Data.StreamAllAsync(20, "m", 3, Ct);
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Equal(1, await gateway.MetricAsync("llmgateway_managed_processes", Ct));

        await gateway.UntilAsync(status => status.Model("m").State == "unloaded" && status.Replicas.Single().Pid is null, "silence to unload it", Ct);
        using var again = await gateway.Data.ChatAsync("m", 1, Ct);
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Contains("is loaded after", await EventsAsync(gateway), StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task IdleTimeout_AStreamRunsLonger_IsNotCutOff()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "m": { "Kind": "simulator", "Load": "on-demand", "IdleTimeout": "1s", "Args": ["--sim-token-rate", "10"] } } }""", Ct);
        using var stream = await gateway.Data.StreamAsync("m", 30, Ct);
        Assert.True((await stream.ReadToEndAsync(Ct)).IsWhole);
    }

    [Fact(Timeout = Limit)]
    public async Task Order_LoadUnloadScale_DoesItAndWaitsWhenAsked()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "m": { "Kind": "simulator", "Load": "on-demand" }, "e": { "Kind": "simulator" } } }""", Ct);
        Assert.Equal(HttpStatusCode.OK, await OrderAsync("m/load?wait=true"));
        Assert.Equal("ready", (await gateway.StatusAsync(Ct)).Model("m").State);
        Assert.Equal(HttpStatusCode.OK, await OrderAsync("m/scale/3?wait=true"));
        await gateway.UntilAsync(status => status.Model("m").Replicas.Count(replica => replica.State == "ready") == 3, "three replicas", Ct);
        Assert.Equal(HttpStatusCode.Conflict, await OrderAsync("m/scale/300?wait=true"));
        Assert.Equal(HttpStatusCode.OK, await OrderAsync("m/unload?wait=true"));
        Assert.All((await gateway.StatusAsync(Ct)).Model("m").Replicas, replica => Assert.Null(replica.Pid));
        Assert.Equal(HttpStatusCode.Accepted, await OrderAsync("e/unload"));
        await gateway.UntilAsync(status => status.Model("e").State == "unloaded", "the eager one to be unloaded", Ct);
        using var loaded = await gateway.Data.ChatAsync("e", 1, Ct);
        Assert.Equal(HttpStatusCode.OK, loaded.StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, await OrderAsync("x/load"));

        async Task<HttpStatusCode> OrderAsync(string order)
        {
            using var answer = await gateway.Management.PostAsync(new Uri($"api/models/{order}", UriKind.Relative), null, Ct);
            return answer.StatusCode;
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Start_Fails_TellsWhoWaitsAndGivesTheMemoryBack()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "bad": { "Kind": "command", "Executable": "/nowhere/server", "Load": "on-demand" } } }""", Ct);
        using var failed = await gateway.Data.ChatAsync("bad", 1, Ct);
        await failed.AssertErrorAsync(HttpStatusCode.ServiceUnavailable, "model_loading_failed", Ct);
        await gateway.UntilAsync(status => status.Model("bad").State == "failed" && status.Replicas.Single().State == "stopped", "it to rest", Ct);
        using var unready = await gateway.Management.GetAsync(new Uri("readyz", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unready.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Memory_ModelThatNeverFits_IsRefusedWithTheNumbers()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Memory": { "Budget": "1GiB" }, "Models": { "big": { "Kind": "simulator", "Load": "on-demand", "MemoryBytes": "2GiB" } } }""", Ct);
        using var refused = await gateway.Data.ChatAsync("big", 1, Ct);
        var error = await refused.AssertErrorAsync(HttpStatusCode.ServiceUnavailable, "insufficient_memory", Ct);
        Assert.Contains("it needs 2048 MiB; of a budget of 1024 MiB, 0 MiB are taken", (string?)error["message"], StringComparison.Ordinal);
        refused.AssertRetryAfter();
    }

    [Fact(Timeout = 300_000)]
    public async Task TwoHundredClients_FiveModelsOfWhichTwoFit_AllAreAnsweredWithinTheBudget()
    {
        var models = new JsonObject();
        for (var i = 0; i < 5; i++)
        {
            models[$"m{i}"] = JsonNode.Parse("""{ "Kind": "simulator", "Load": "on-demand", "MemoryBytes": "400MiB", "Slots": 4, "Args": ["--sim-token-rate", "200"], "Queue": { "MaxDepth": 500 } }""");
        }

        await using var gateway = await GatewayProcess.StartAsync(new JsonObject { ["Memory"] = new JsonObject { ["Budget"] = "1000MiB" }, ["Models"] = models }.ToJsonString(), Ct);
        using var done = new CancellationTokenSource();
        var watch = gateway.MostDescendantsAsync(done.Token);
        var answers = await AskForFiveAsync(gateway, 20);
        await done.CancelAsync();

        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.InRange(await watch, 1, 2);
        Assert.Equal(1000L << 20, await gateway.MetricAsync("llmgateway_memory_budget_bytes", Ct));
        Assert.Equal(400L << 20, await gateway.MetricAsync("llmgateway_memory_estimated_bytes", Ct, ("backend", "m3/0")));
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "stream_broken")));
    }

    /// <summary>Two hundred clients at once, each for one of five models; says how long the last of them took.</summary>
    internal static async Task<IReadOnlyList<StreamedAnswer>> AskForFiveAsync(GatewayProcess gateway, int tokens)
    {
        var start = Stopwatch.GetTimestamp();
        var answers = await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            using var stream = await gateway.Data.StreamAsync($"m{i % 5}", tokens, Ct);
            return await stream.ReadToEndAsync(Ct);
        }));
        TestContext.Current.TestOutputHelper?.WriteLine($"200 clients, 5 models of which 2 fit: the last answer came after {Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s");
        return answers;
    }

    [Fact(Timeout = Limit)]
    public async Task Group_TwoThatExcludeEachOther_SwapWithoutAFailedRequest()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
              "a": { "Kind": "simulator", "Group": "g", "Args": ["--sim-token-rate", "20"] },
              "b": { "Kind": "simulator", "Group": "g", "Args": ["--sim-token-rate", "20"] } } }
            """, Ct);
        await gateway.UntilAsync(status => status.Model("a").State == "ready" && status.Model("b").State == "unloaded", "the first of the group", Ct);

        // More work for each than one turn: whoever has served for 5 s makes room although others wait for it.
        var answers = await Task.WhenAll(gateway.Data.StreamAllAsync(20, "a", 60, Ct), gateway.Data.StreamAllAsync(20, "b", 30, Ct));
        Assert.All(answers.SelectMany(all => all), answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Contains("finishes what runs and makes room for b", await EventsAsync(gateway), StringComparison.Ordinal);
        Assert.Equal(1, await gateway.MetricAsync("llmgateway_managed_processes", Ct));
    }

    private static async Task<string> EventsAsync(GatewayProcess gateway)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "api/events");
        request.Headers.Accept.ParseAdd("application/json");
        using var answer = await gateway.Management.SendAsync(request, Ct);
        return await answer.Content.ReadAsStringAsync(Ct);
    }
}
