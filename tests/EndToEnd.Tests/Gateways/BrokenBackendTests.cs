using System.Net;
using System.Text.Json.Nodes;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Two replicas whose faults a test switches on, and which the next test finds without.</summary>
public sealed class FaultyGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public IReadOnlyList<SimulatorControl> Simulators { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Gateway = await GatewayProcess.StartAsync(
            """
            { "Models": { "demo": {
                "Kind": "simulator", "Replicas": 2, "Slots": 4, "Timeouts": { "FirstToken": "1s", "BetweenTokens": "1s" },
                "Breaker": { "MinimumThroughput": 1000 } /* a test's faults must not keep the next one's requests away */ } } }
            """,
            TestContext.Current.CancellationToken);
        Simulators = await Gateway.SimulatorsAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>Without faults, and with all slots free.</summary>
    public async Task ResetAsync(CancellationToken cancellationToken)
    {
        foreach (var simulator in Simulators)
        {
            await simulator.ClearFaultsAsync(cancellationToken);
        }

        await Gateway.UntilAsync(status => status.Replicas.All(replica => replica is { State: "ready", Slots: { Busy: 0, Quarantined: 0 } }), "free slots", cancellationToken);
    }

    public async Task SetAllAsync(object faults, CancellationToken cancellationToken)
    {
        foreach (var simulator in Simulators)
        {
            await simulator.SetFaultsAsync(faults, cancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Gateway is not null)
        {
            await Gateway.DisposeAsync();
        }
    }
}

/// <summary>A backend that answers badly: nothing is passed off as an answer that is none.</summary>
public sealed class BrokenBackendTests(FaultyGateway faulty) : IClassFixture<FaultyGateway>, IAsyncLifetime
{
    private const int Limit = 60_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => faulty.Gateway;

    public async ValueTask InitializeAsync() => await faulty.ResetAsync(Ct);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Theory(Timeout = Limit)]
    [InlineData("reset")]
    [InlineData("close")]
    [InlineData("end")]
    [InlineData("half-close")]
    [InlineData("half-end")]
    public async Task Stream_BreaksInTheMiddle_EndsWithAnErrorEvent(string how)
    {
        // So many that the first has been relayed when a reset comes: it may destroy what is still on its way.
        await faulty.SetAllAsync(new { dropAfterTokens = 20, dropBy = how }, Ct);

        using var answer = await Gateway.Data.StreamAsync("demo", 60, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.True(answer.IsBrokenHonestly, answer.ToString());
        Assert.All(answer.Events, text => JsonNode.Parse(text["data: ".Length..])); // no half event
        var error = JsonNode.Parse(answer.Events[^1]["data: ".Length..])!["error"]!;
        Assert.Equal(("stream_broken", "server_error"), ((string)error["code"]!, (string)error["type"]!));
        if (how is not "reset")
        {
            Assert.Equal(20, answer.Events.Count(text => text.Contains("\"content\":\"", StringComparison.Ordinal)));
        }
    }

    [Theory(Timeout = Limit)]
    [InlineData("v1/messages", """{"model":"demo","stream":true,"max_tokens":20,"messages":[{"role":"user","content":"hello"}]}""", "message_stop")]
    [InlineData("v1/responses", """{"model":"demo","stream":true,"max_output_tokens":20,"input":"hello"}""", "response.completed")]
    public async Task Stream_OfNamedEventsBreaks_EndsWithItsApisErrorEvent(string path, string body, string last)
    {
        await faulty.SetAllAsync(new { dropAfterTokens = 3, dropBy = "close" }, Ct);

        using var answer = await Gateway.Data.StreamAsync(path, JsonNode.Parse(body)!, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.Null(answer.Fault);
        Assert.StartsWith("event: error\ndata: {", answer.Events[^1], StringComparison.Ordinal);
        Assert.DoesNotContain(answer.Events, text => text.StartsWith($"event: {last}", StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task Stream_GoesSilent_EndsWithATimeoutEvent()
    {
        using var answer = await Gateway.Data.StreamAsync("demo", 1000, Ct);
        await answer.ReadAsync(3, Ct);
        await faulty.SetAllAsync(new { engine = "frozen" }, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.True(answer.IsBrokenHonestly, answer.ToString());
        Assert.Contains("\"backend_timeout\"", answer.Events[^1], StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Stream_SplitCharactersAndComments_ArriveUnharmed()
    {
        await faulty.SetAllAsync(new { splitUtf8 = true, commentMs = 5 }, Ct);

        using var answer = await Gateway.Data.StreamAsync("demo", 10, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.True(answer.IsWhole, answer.ToString());
        Assert.DoesNotContain(answer.Events, text => text.Contains('\uFFFD', StringComparison.Ordinal));
    }

    [Theory(Timeout = Limit)]
    [InlineData("reset")]
    [InlineData("error")]
    [InlineData("malformed")]
    [InlineData("huge-headers")]
    public async Task FirstByte_NeverComes_TheOtherReplicaAnswers(string how)
    {
        await faulty.Simulators[0].SetFaultsAsync(new { inference = how }, Ct);

        // One of these is sent to the broken one first, wherever the turn stands.
        var answers = await Gateway.Data.StreamAllAsync(4, "demo", 3, Ct);

        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.All(answers, answer => Assert.Equal("demo/1", answer.Backend));
        Assert.Contains(answers, answer => answer.Response.Header("x-llmgateway-attempts") == "2");
    }

    [Fact(Timeout = Limit)]
    public async Task FirstByte_ComesFromNobody_Is502()
    {
        await faulty.SetAllAsync(new { inference = "error" }, Ct);

        using var response = await Gateway.Data.ChatAsync("demo", 3, Ct);
        await response.AssertErrorAsync(HttpStatusCode.BadGateway, "backend_failed", Ct);
    }

    [Theory(Timeout = Limit)]
    [InlineData("hang")]
    [InlineData("headers-only")]
    public async Task FirstToken_NotInTime_Is504(string how)
    {
        await faulty.SetAllAsync(new { inference = how }, Ct);

        using var answer = await Gateway.Data.StreamAsync("demo", 3, Ct);
        await answer.ReadToEndAsync(Ct);
        Assert.Equal(HttpStatusCode.GatewayTimeout, answer.Status);
        Assert.Contains("\"backend_timeout\"", answer.Events.Single(), StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task WholeAnswer_BreaksInTheMiddle_IsNeverEndedCleanly()
    {
        await faulty.SetAllAsync(new { inference = "short-body" }, Ct);

        try
        {
            using var response = await Gateway.Data.ChatAsync("demo", 3, Ct);
            Assert.Equal(HttpStatusCode.BadGateway, response.StatusCode);
        }
        catch (HttpRequestException)
        {
            // Aborted, as the client must see.
        }
    }
}
