using System.Collections.Immutable;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Peers;

/// <summary>One way of loading every peer alike.</summary>
/// <param name="Name">The word on the command line.</param>
/// <param name="Description">What is compared, in one line.</param>
/// <param name="Unit">What CPU time is divided by.</param>
/// <param name="Backends">Simulated servers.</param>
/// <param name="Slots">Slots of each.</param>
/// <param name="SimulatorFlags">Their pace.</param>
/// <param name="Scenario">The load.</param>
internal sealed record PeerCase(
    string Name, string Description, CpuUnit Unit, int Backends, int Slots, ImmutableArray<string> SimulatorFlags, Scenario Scenario)
{
    /// <summary>Longest wait for a slot, of the peers that know slots.</summary>
    public TimeSpan QueueTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>False where clients that go straight to one server would meet another load.</summary>
    public bool IsForDirect { get; init; } = true;

    /// <summary>Time between two tokens that the simulator keeps; what a gap is longer than that is late.</summary>
    public TimeSpan? Pace { get; init; }

    /// <summary>False where the load before the measured one would still be there when that begins.</summary>
    public bool HasWarmUp { get; init; } = true;

    public static ImmutableArray<PeerCase> All { get; } =
    [
        new(
            "closed", "non-stream, closed loop, 64 connections", CpuUnit.Request, 1, 128, Fast,
            NewScenario(new ClosedStage("closed", Seconds(8), Workers: 64), Short)),
        new(
            "open", "non-stream, 500 requests a second", CpuUnit.Request, 1, 128, Fast,
            NewScenario(new OpenStage("open", Seconds(8), 1), Short, rate: 500)),
        new(
            "sse100", "100 streams, a token every 20 ms", CpuUnit.Token, 1, 128, ["--sim-token-rate", "50", "--sim-prompt-tps", "1000000"],
            NewScenario(new ClosedStage("sse100", Seconds(6), Workers: 100), Short with { StreamShare = 1, MaxTokens = Distribution.Fixed(150) }))
        {
            Pace = TimeSpan.FromMilliseconds(20),
        },
        new(
            "sse1000", "1,000 streams, a token every 200 ms", CpuUnit.Token, 1, 1024, ["--sim-token-rate", "5", "--sim-prompt-tps", "1000000"],
            NewScenario(new ClosedStage("sse1000", Seconds(6), Workers: 1000), Short with { StreamShare = 1, MaxTokens = Distribution.Fixed(30) }))
        {
            Pace = TimeSpan.FromMilliseconds(200),
        },
        new(
            "streams5000", "5,000 streams open at once, a token a second", CpuUnit.Token, 1, 5120, ["--sim-token-rate", "1", "--sim-prompt-tps", "1000000"],
            NewScenario(new OpenStage("streams5000", Seconds(4), 1, 1, ArrivalPattern.Fixed), Short with { StreamShare = 1, MaxTokens = Distribution.Fixed(8) }, rate: 1250))
        {
            Pace = TimeSpan.FromSeconds(1),
            HasWarmUp = false,
        },
        new(
            "streams9000", "9,000 streams open at once, a token every two seconds", CpuUnit.Token, 1, 9216, ["--sim-token-rate", "0.5", "--sim-prompt-tps", "1000000"],
            NewScenario(new OpenStage("streams9000", Seconds(9), 1, 1, ArrivalPattern.Fixed), Short with { StreamShare = 1, MaxTokens = Distribution.Fixed(8) }, rate: 1000))
        {
            Pace = TimeSpan.FromSeconds(2),
            HasWarmUp = false,
        },
        new(
            "abort", "200 streams a second, each client leaves after 200 ms", CpuUnit.Request, 1, 512, ["--sim-token-rate", "20", "--sim-prompt-tps", "1000000"],
            NewScenario(
                new OpenStage("abort", Seconds(8), 1),
                Short with { StreamShare = 1, MaxTokens = Distribution.Fixed(200), LeaverShare = 1 }, rate: 200)),
        new(
            "overload", "4 x what 2 x 4 slots of 200 ms can serve", CpuUnit.Request, 2, 4, ["--sim-service-ms", "200"],
            NewScenario(new OpenStage("overload", Seconds(20), 4, 4, ArrivalPattern.Fixed), Short with { StreamShare = 1 }, rate: 40))
        {
            QueueTimeout = TimeSpan.FromMilliseconds(500),
            IsForDirect = false,
        },
    ];

    private static ImmutableArray<string> Fast => ["--sim-token-rate", "1000000", "--sim-prompt-tps", "1000000000"];

    /// <summary>About 2 KB to ask, as little to answer as makes no difference.</summary>
    private static RequestMix Short => new()
    {
        PromptTokens = Distribution.Fixed(400),
        MaxTokens = Distribution.Fixed(16),
        StreamShare = 0,
        Keys = [new KeyShare(GatewayPeer.Key)],
    };

    private static Scenario NewScenario(Stage stage, RequestMix mix, double rate = 1) =>
        new(stage.Name, "", [stage], mix) { Rate = rate, Patience = Seconds(stage.Name == "overload" ? 10 : 60) };

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);
}

/// <summary>What a case's CPU time is divided by.</summary>
internal enum CpuUnit
{
    /// <summary>Requests of any outcome.</summary>
    Request,

    /// <summary>Tokens that arrived, each a chunk.</summary>
    Token,
}

/// <summary>One peer, one case, one repeat.</summary>
/// <param name="Peer">Its name.</param>
/// <param name="Case">The case's.</param>
/// <param name="Repeat">From 0.</param>
/// <param name="CpuMicroseconds">User and system time of the peer's processes per unit; null for no peer.</param>
/// <param name="Tally">What clients saw.</param>
/// <param name="Goodput">Whole answers a second, the first second left out.</param>
/// <param name="PssBytes">Memory after the warm-up.</param>
/// <param name="PssPeakBytes">Most memory under the load.</param>
internal sealed record PeerResult(
    string Peer, string Case, int Repeat, double? CpuMicroseconds, StageReport Tally, double Goodput, long? PssBytes, long? PssPeakBytes)
{
    public long Errors => Tally.Outcomes.Where(static pair => pair.Key is "broken_stream" or "wrong_text" or "error" or "client_timeout" or "not_sent").Sum(static pair => pair.Value);

    public long Ok => Tally.Outcomes[Outcome.Ok.ToLabel()];
}
