using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Monitoring;

/// <summary>The gateway's numbers are those of its clients: each request has one outcome, each token is counted once, times agree.</summary>
[Collection(RunsAlone.Name)]
public sealed class MetricTruthTests
{
    private const int Limit = 180_000;

    private static readonly string[] Outcomes =
        ["ok", "client_error", "rejected", "expired", "no_backend", "cancelled_queued", "cancelled_in_flight", "backend_error", "stream_broken", "timeout"];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Numbers_OfALoad_AgreeWithTheClients()
    {
        // Slow enough that 5 % is more than a loaded machine's jitter.
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4, "Args": ["--sim-token-rate", "20", "--sim-prompt-tps", "20"] },
                "warm": { "Kind": "simulator", "Slots": 24 } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);

        // What a program does for the first time takes longer, here and there.
        await Task.WhenAll(Enumerable.Range(0, 24).Select(_ => AskAsync(gateway, "warm", 5)));
        var seen = await Task.WhenAll(Enumerable.Range(0, 24).Select(i => AskAsync(gateway, "demo", 10 + (i % 5))));

        Assert.Equal(seen.Length, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("model", "demo")));
        Assert.Equal(seen.Length, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "ok"), ("code", "200"), ("endpoint", "chat_completions"), ("model", "demo")));
        Assert.Equal(seen.Sum(one => one.Prompt), await gateway.MetricAsync("llmgateway_prompt_tokens_total", Ct, ("model", "demo")));
        Assert.Equal(seen.Sum(one => one.Completion), await gateway.MetricAsync("llmgateway_completion_tokens_total", Ct, ("model", "demo")));
        Assert.Equal(seen.Length, await gateway.MetricAsync("llmgateway_request_duration_seconds_count", Ct, ("stream", "true"), ("model", "demo")));
        Assert.Equal(seen.Length, await gateway.MetricAsync("llmgateway_time_to_first_token_seconds_count", Ct, ("priority", "normal"), ("model", "demo")));
        await AssertCloseAsync("llmgateway_request_duration_seconds_sum", seen.Sum(one => one.Total.TotalSeconds));
        await AssertCloseAsync("llmgateway_time_to_first_token_seconds_sum", seen.Sum(one => one.FirstToken.TotalSeconds));
        await AssertCloseAsync("llmgateway_time_per_output_token_seconds_sum", seen.Sum(one => (one.Total - one.FirstToken).TotalSeconds / (one.Completion - 1)));
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_requests_in_flight", Ct));

        // What the gateway says of itself is part of what its clients saw.
        var overhead = await gateway.MetricAsync("llmgateway_overhead_seconds_sum", Ct, ("phase", "total"));
        Assert.InRange(overhead, double.Epsilon, seen.Sum(one => one.FirstToken.TotalSeconds));

        async Task AssertCloseAsync(string name, double expected)
        {
            var value = await gateway.MetricAsync(name, Ct, ("model", "demo"));
            Assert.True(Math.Abs(value - expected) <= 0.05 * expected, $"{name} is {value:F3}, the clients measured {expected:F3}");
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Outcomes_OfEveryKindOfRequest_AreOneForEach()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "demo": { "Kind": "simulator", "Slots": 2, "Args": ["--sim-token-rate", "50"], "Timeouts": { "FirstToken": "1s", "BetweenTokens": "1s" } },
                "full": { "Kind": "simulator", "Slots": 1, "Queue": { "MaxDepth": 0 } },
                "late": { "Kind": "simulator", "Slots": 1, "Queue": { "Timeout": "300ms" } },
                "dead": { "Kind": "simulator", "Args": ["--sim-exit-at", "start"], "Restart": { "MaxRestarts": 0, "OnExhausted": "hold" } } } }
            """,
            Ct);
        await gateway.UntilAsync(
            status => status.Replicas.Count(replica => replica.State == "ready") == 3 && status.Model("dead").State == "failed", "three to be ready and one to have failed", Ct, TimeSpan.FromSeconds(60));
        var simulator = new TestKit.Simulators.SimulatorControl((await gateway.StatusAsync(Ct)).Replica("demo/0").Address!);
        var sent = 0;

        (await AskForAsync("demo", 3)).EnsureSuccessStatusCode(); // ok
        Assert.Equal(HttpStatusCode.NotFound, (await AskForAsync("nobody", 3)).StatusCode); // client_error
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await AskForAsync("dead", 3)).StatusCode); // no_backend
        using (var holdsFull = await HoldAsync("full"))
        using (var holdsLate = await HoldAsync("late"))
        {
            Assert.Equal(HttpStatusCode.TooManyRequests, (await AskForAsync("full", 3)).StatusCode); // rejected
            Assert.Equal(HttpStatusCode.TooManyRequests, (await AskForAsync("late", 3)).StatusCode); // expired
        }

        // Both holders have left: two in flight. And one that leaves the queue.
        using (var one = await HoldAsync("demo"))
        using (var other = await HoldAsync("demo"))
        {
            using var leave = CancellationTokenSource.CreateLinkedTokenSource(Ct);
            sent++;
            var queued = gateway.Data.ChatAsync("demo", 3, leave.Token);
            await gateway.UntilAsync(status => status.Model("demo").Queue.Depth == 1, "one to wait", Ct);
            await leave.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queued);
        }

        await gateway.UntilAsync(status => status.Replicas.All(replica => replica is { Slots: { Busy: 0, Quarantined: 0 } }), "free slots", Ct);
        await simulator.SetFaultsAsync(new { dropAfterTokens = 20, dropBy = "close" }, Ct);
        sent++;
        using (var own = new HttpClient { BaseAddress = gateway.DataUrl }) // its connection is closed behind the broken stream
        using (var broken = await own.StreamAsync("demo", 60, Ct))
        {
            await broken.ReadToEndAsync(Ct); // stream_broken
        }

        await simulator.ClearFaultsAsync(Ct);
        await simulator.SetFaultsAsync(new { inference = "hang" }, Ct);
        sent++;
        using (var silent = await gateway.Data.StreamAsync("demo", 5, Ct))
        {
            Assert.Equal(HttpStatusCode.GatewayTimeout, silent.Status); // timeout
        }

        // Each has ended, also those whose clients have left.
        await Eventually.GetAsync(() => gateway.MetricAsync("llmgateway_requests_total", Ct), count => (int)count == sent, $"{sent} requests to be counted", Ct);
        var counts = new Dictionary<string, double>();
        foreach (var outcome in Outcomes)
        {
            counts[outcome] = await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", outcome));
        }

        Assert.Equal(sent, counts.Values.Sum());
        Assert.Equal(
            new Dictionary<string, double>
            {
                ["ok"] = 1,
                ["client_error"] = 1,
                ["rejected"] = 1,
                ["expired"] = 1,
                ["no_backend"] = 1,
                ["cancelled_queued"] = 1,
                ["cancelled_in_flight"] = 4,
                ["backend_error"] = 0,
                ["stream_broken"] = 1,
                ["timeout"] = 1,
            },
            counts);
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_requests_in_flight", Ct));

        async Task<HttpResponseMessage> AskForAsync(string model, int tokens)
        {
            sent++;
            return await gateway.Data.ChatAsync(model, tokens, Ct);
        }

        async Task<StreamedAnswer> HoldAsync(string model)
        {
            sent++;
            var stream = await gateway.Data.StreamAsync(model, 10_000, Ct);
            return await stream.ReadAsync(2, Ct);
        }
    }

    private static async Task<(long Prompt, long Completion, TimeSpan FirstToken, TimeSpan Total)> AskAsync(GatewayProcess gateway, string model, int tokens)
    {
        var body = Conversation.ChatBody(model, tokens, stream: true);
        body["stream_options"] = new JsonObject { ["include_usage"] = true };
        var since = Stopwatch.GetTimestamp();
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions") { Content = JsonContent.Create(body) };
        using var answer = new StreamedAnswer(await gateway.Data.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Ct));
        await answer.ReadAsync(1, Ct);
        var first = Stopwatch.GetElapsedTime(since);
        await answer.ReadToEndAsync(Ct);
        var total = Stopwatch.GetElapsedTime(since);
        Assert.True(answer.IsWhole, answer.ToString());
        var usage = answer.Events.Where(one => one.Contains("\"usage\":{", StringComparison.Ordinal)).Select(one => JsonNode.Parse(one["data: ".Length..])!["usage"]!).Last();
        return ((long)usage["prompt_tokens"]!, (long)usage["completion_tokens"]!, first, total);
    }
}
