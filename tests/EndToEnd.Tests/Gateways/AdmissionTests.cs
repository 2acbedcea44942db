using System.Net;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Who gets a slot, who waits, who is sent away: no backend ever gets more than its slots.</summary>
public sealed class AdmissionTests
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Burst_TwoHundredRequests_AllAnsweredAndNoneDeferredByABackend()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4, "Args": ["--sim-token-rate", "200"] } } }""", Ct);
        var simulators = await gateway.SimulatorsAsync(Ct);

        var streams = gateway.Data.StreamAllAsync(100, "demo", 10, Ct);
        var wholes = Task.WhenAll(Enumerable.Range(0, 100).Select(_ => gateway.Data.ChatAsync("demo", 10, Ct)));

        Assert.All(await streams, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.All(await wholes, answer => Assert.Equal(HttpStatusCode.OK, answer.StatusCode));
        var states = await Task.WhenAll(simulators.Select(simulator => simulator.GetStateAsync(Ct)));
        Assert.All(states, state => Assert.Equal(0, state.DeferredPeak));
        Assert.Equal(200, states.Sum(state => state.Answered));
        Assert.All(states, state => Assert.InRange(state.Answered, 50, 150));
        Assert.Equal(200, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "ok")));
    }

    [Fact(Timeout = Limit)]
    public async Task Burst_MoreThanTheQueueHolds_TheRestIsRefusedWithATimeToComeBack()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Queue": { "MaxDepth": 50 }, "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4, "Args": ["--sim-token-rate", "50"] } } }""", Ct);
        var simulators = await gateway.SimulatorsAsync(Ct);

        var answers = await gateway.Data.StreamAllAsync(200, "demo", 10, Ct);

        var refused = answers.Where(answer => answer.Status == HttpStatusCode.TooManyRequests).ToList();
        Assert.All(answers.Except(refused), answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.InRange(answers.Count - refused.Count, 58, 199);
        Assert.All(refused, answer =>
        {
            answer.Response.AssertRetryAfter();
            Assert.Contains("\"queue_full\"", answer.Events.Single(), StringComparison.Ordinal);
        });
        Assert.All(await Task.WhenAll(simulators.Select(simulator => simulator.GetStateAsync(Ct))), state => Assert.Equal(0, state.DeferredPeak));
        Assert.Equal(refused.Count, await gateway.MetricAsync("llmgateway_rejected_total", Ct, ("reason", "queue_full")));
        Assert.Equal(0, (await gateway.StatusAsync(Ct)).Model("demo").Queue.Depth);
    }

    [Fact(Timeout = Limit)]
    public async Task Queue_FullOrTooSlow_IsRefusedByItsReason()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "none": { "Kind": "simulator", "Slots": 1, "Queue": { "MaxDepth": 0 } },
                "short": { "Kind": "simulator", "Slots": 1, "Queue": { "Timeout": "300ms" } } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        using var first = await gateway.Data.StreamAsync("none", 10_000, Ct);
        using var second = await gateway.Data.StreamAsync("short", 10_000, Ct);

        using var full = await gateway.Data.ChatAsync("none", 1, Ct);
        await full.AssertErrorAsync(HttpStatusCode.TooManyRequests, "queue_full", Ct);
        full.AssertRetryAfter();
        Assert.Equal(("none", "0", "0", null), (full.Header("x-llmgateway-model"), full.Header("x-llmgateway-queue-ms"), full.Header("x-llmgateway-attempts"), full.Header("x-llmgateway-backend")));

        using var late = await gateway.Data.ChatAsync("short", 1, Ct);
        await late.AssertErrorAsync(HttpStatusCode.TooManyRequests, "queue_timeout", Ct);
        late.AssertRetryAfter();

        // The streams that hold the slots did not suffer.
        await first.ReadAsync(first.Events.Count + 3, Ct);
        await second.ReadAsync(second.Events.Count + 3, Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Loading_RequestsThatCameMeanwhile_AreAnsweredWhenItIsDone()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Slots": 4, "Args": ["--sim-load-ms", "2500"] } } }""", Ct);
        await gateway.UntilAsync(status => status.Model("demo").State == "loading", "the model to load", Ct);
        using var unready = await gateway.Management.GetAsync(new Uri("readyz", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unready.StatusCode);
        using var unhealthy = await gateway.Data.GetAsync(new Uri("health", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unhealthy.StatusCode);

        var streams = gateway.Data.StreamAllAsync(10, "demo", 5, Ct);
        await gateway.UntilAsync(status => status.Model("demo") is { State: "loading", Queue.Depth: 10 }, "ten to wait for the model", Ct);

        Assert.All(await streams, answer => Assert.True(answer.IsWhole, answer.ToString()));
    }

    [Fact(Timeout = Limit)]
    public async Task Fault5_Loading_FailsForGood_WhoWaitsAndWhoComesIsTold()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "half": { "Kind": "simulator", "Args": ["--sim-load-ms", "3000", "--sim-exit-at", "load"], "Restart": { "MaxRestarts": 0, "OnExhausted": "hold" } },
                "dead": { "Kind": "simulator", "Args": ["--sim-exit-at", "start", "--sim-exit-code", "3"], "Restart": { "MaxRestarts": 0, "OnExhausted": "hold" } } } }
            """,
            Ct);

        await gateway.UntilAsync(status => status.Model("half").State == "loading", "half to load", Ct);
        using var waiting = await gateway.Data.ChatAsync("half", 1, Ct);
        await waiting.AssertErrorAsync(HttpStatusCode.ServiceUnavailable, "model_loading_failed", Ct);
        waiting.AssertRetryAfter();

        var status = await gateway.UntilAsync(status => status.Model("dead").State == "failed", "dead to have failed", Ct);
        var replica = status.Replica("dead/0");
        Assert.Equal(("failed", 3, "crash"), (replica.State, replica.LastExit!.Code, replica.LastExit.Cause));
        Assert.NotNull(replica.NotRoutableBecause);
        using var response = await gateway.Data.ChatAsync("dead", 1, Ct);
        await response.AssertErrorAsync(HttpStatusCode.ServiceUnavailable, "model_loading_failed", Ct);
        response.AssertRetryAfter();
    }
}
