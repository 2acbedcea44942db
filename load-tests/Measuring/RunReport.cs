using System.Collections.Immutable;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Measuring;

/// <summary>A run in numbers: all that a report shows. Durations are milliseconds unless named otherwise.</summary>
internal sealed record RunReport
{
    public required string Scenario { get; init; }

    public required string Description { get; init; }

    public required string Url { get; init; }

    public required string Model { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    public required string Machine { get; init; }

    public required ulong Seed { get; init; }

    public required double PatienceSeconds { get; init; }

    public required StageReport Whole { get; init; }

    public required ImmutableArray<StageReport> Stages { get; init; }

    /// <summary>Each API key over the whole run; empty when there are fewer than two. Goodput is that of the whole time.</summary>
    public ImmutableArray<StageReport> Keys { get; init; } = [];

    public required double IntervalSeconds { get; init; }

    public required ImmutableArray<IntervalReport> Intervals { get; init; }

    public required ImmutableArray<LatencyBar> FirstTokenBars { get; init; }

    public required ImmutableArray<LatencyBar> TotalBars { get; init; }

    public required ImmutableArray<ReasonReport> Reasons { get; init; }

    public ImmutableArray<ThresholdResult> Thresholds { get; init; } = [];

    /// <summary>What a reader must know before believing the numbers.</summary>
    public ImmutableArray<string> Notes { get; init; } = [];

    public CpuReport? Cpu { get; init; }

    /// <summary>Makes a report of what was measured.</summary>
    public static RunReport Create(Scenario scenario, Uri url, string model, DateTimeOffset startedAt, string machine, Measurements measurements)
    {
        var whole = measurements.Whole();
        var start = TimeSpan.Zero;
        var stages = new List<StageReport>();
        foreach (var (stage, tally) in scenario.Stages.Zip(measurements.Stages()))
        {
            var planned = stage is OpenStage open ? (open.FromLoad + open.ToLoad) / 2 * scenario.Rate : (double?)null;
            stages.Add(StageReport.Create(stage.Name, start, stage.Duration, stage.Duration - Measurements.Settling(stage), planned, tally));
            start += stage.Duration;
        }

        var settled = scenario.Stages.Aggregate(TimeSpan.Zero, static (sum, stage) => sum + stage.Duration - Measurements.Settling(stage));
        return new RunReport
        {
            Scenario = scenario.Name,
            Description = scenario.Description,
            Url = url.AbsoluteUri,
            Model = model,
            StartedAt = startedAt,
            Machine = machine,
            Seed = scenario.Seed,
            PatienceSeconds = scenario.Patience.TotalSeconds,
            Whole = StageReport.Create("all", TimeSpan.Zero, scenario.Duration, settled, null, whole),
            Stages = [.. stages],
            Keys = scenario.Mix.Keys.Length < 2 ? [] : [.. scenario.Mix.Keys.Zip(measurements.Keys(), (key, tally) => ByKey(key, scenario, tally)).Select(static (report, i) => report with { Name = report.Name is "" ? $"key {i + 1}" : report.Name })],
            IntervalSeconds = measurements.Interval.TotalSeconds,
            Intervals = [.. measurements.Intervals().Select(static interval => IntervalReport.Create(interval))],
            FirstTokenBars = [.. whole.FirstToken.Bars()],
            TotalBars = [.. whole.Total.Bars()],
            Reasons = [.. measurements.Reasons().Select(static reason => new ReasonReport(reason.Outcome.ToLabel(), reason.Reason, reason.Count))],
        };
    }

    private static StageReport ByKey(KeyShare key, Scenario scenario, Tally tally) =>
        StageReport.Create(key.Name ?? "", TimeSpan.Zero, scenario.Duration, scenario.Duration, null, tally)
            with
        { GoodputPerSecond = tally.Outcomes[(int)Outcome.Ok] / scenario.Duration.TotalSeconds };
}

/// <summary>A stage, an API key, or all of the run.</summary>
internal sealed record StageReport
{
    public required string Name { get; init; }

    public required double StartSeconds { get; init; }

    public required double DurationSeconds { get; init; }

    /// <summary>Mean rate that the schedule asks for; null in a closed loop.</summary>
    public required double? PlannedPerSecond { get; init; }

    /// <summary>Requests meant to start in it.</summary>
    public required long Requests { get; init; }

    public required double OfferedPerSecond { get; init; }

    /// <summary>Whole answers per second that ended within the stage, its first second (or tenth, when shorter) left out.</summary>
    public required double GoodputPerSecond { get; init; }

    public required double TokensPerSecond { get; init; }

    /// <summary>Share of requests that ended in no answer, no honest refusal, and not as planned.</summary>
    public required double ErrorRate { get; init; }

    public required double RefusalRate { get; init; }

    public required long TextsChecked { get; init; }

    /// <summary>All outcomes, the absent ones too.</summary>
    public required ImmutableSortedDictionary<string, long> Outcomes { get; init; }

    public required LatencySummary? FirstToken { get; init; }

    public required LatencySummary? Total { get; init; }

    public required LatencySummary? BetweenTokens { get; init; }

    public required LatencySummary? Refusal { get; init; }

    public required LatencySummary? Queue { get; init; }

    public required LatencySummary? Lag { get; init; }

    public static StageReport Create(string name, TimeSpan start, TimeSpan duration, TimeSpan settled, double? planned, Tally tally)
    {
        var requests = tally.Outcomes.Sum();
        return new StageReport
        {
            Name = name,
            StartSeconds = start.TotalSeconds,
            DurationSeconds = duration.TotalSeconds,
            PlannedPerSecond = planned,
            Requests = requests,
            OfferedPerSecond = requests / duration.TotalSeconds,
            GoodputPerSecond = tally.Good / settled.TotalSeconds,
            TokensPerSecond = tally.Tokens / duration.TotalSeconds,
            ErrorRate = Share(static outcome => outcome.IsError()),
            RefusalRate = Share(static outcome => outcome.IsRefusal()),
            TextsChecked = tally.TextsChecked,
            Outcomes = Enum.GetValues<Outcome>().ToImmutableSortedDictionary(static outcome => outcome.ToLabel(), outcome => tally.Outcomes[(int)outcome], StringComparer.Ordinal),
            FirstToken = tally.FirstToken.Summary(),
            Total = tally.Total.Summary(),
            BetweenTokens = tally.BetweenTokens.Summary(),
            Refusal = tally.Refusal.Summary(),
            Queue = tally.Queue.Summary(),
            Lag = tally.Lag.Summary(),
        };

        double Share(Func<Outcome, bool> isCounted) =>
            requests == 0 ? 0 : (double)Enum.GetValues<Outcome>().Where(isCounted).Sum(outcome => tally.Outcomes[(int)outcome]) / requests;
    }
}

/// <summary>A second of the run, or a little more in a long one.</summary>
internal sealed record IntervalReport(
    long Arrivals,
    ImmutableArray<long> Ended,
    double? FirstTokenP50,
    double? FirstTokenP90,
    double? FirstTokenP99,
    double? TotalP50,
    double? TotalP90,
    double? TotalP99)
{
    public static IntervalReport Create(IntervalTally interval) => new(
        interval.Arrivals,
        [.. interval.Ended],
        interval.FirstToken.Percentile(50),
        interval.FirstToken.Percentile(90),
        interval.FirstToken.Percentile(99),
        interval.Total.Percentile(50),
        interval.Total.Percentile(90),
        interval.Total.Percentile(99));
}

/// <summary>One word more about an outcome, and how often.</summary>
internal sealed record ReasonReport(string Outcome, string Reason, long Count);

/// <summary>CPU time, user and system, over the measured run.</summary>
/// <param name="TesterSeconds">Of the tester.</param>
/// <param name="GatewaySeconds">Of the gateway that the tester started, without its children.</param>
/// <param name="GatewayMillisecondsPerRequest">The same, per request of any outcome.</param>
internal sealed record CpuReport(double TesterSeconds, double? GatewaySeconds, double? GatewayMillisecondsPerRequest);
