using System.Globalization;
using System.Text;
using LlmGateway.LoadTests.Measuring;
using static LlmGateway.LoadTests.Reports.Numbers;

namespace LlmGateway.LoadTests.Reports;

/// <summary>A run's report for a pull request or an issue.</summary>
internal static class MarkdownReport
{
    public static string Render(RunReport report)
    {
        var text = new StringBuilder();
        Line($"# Load test: {report.Scenario}");
        Line();
        Line($"{report.Description}");
        Line();
        Line($"{report.StartedAt.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture)} UTC · model `{report.Model}` at {report.Url} · {report.Machine} · seed {report.Seed} · clients wait {Seconds(report.PatienceSeconds)}");
        foreach (var note in report.Notes)
        {
            Line();
            Line($"> **Note:** {note}");
        }

        if (!report.Thresholds.IsEmpty)
        {
            Line();
            Line($"| threshold | limit | measured | |");
            Line($"|---|---|---|---|");
            foreach (var threshold in report.Thresholds)
            {
                Line($"| {threshold.Name}{(threshold.Stage is { } stage ? $" ({stage})" : "")} | {threshold.Limit} | {threshold.Measured} | {(threshold.Passed ? "holds" : "**FAILED**")} |");
            }
        }

        Line();
        Line($"| stage | from | for | offered/s | ok/s | tokens/s | refused | errors | first token p50 / p99 | total p50 / p99 | refusal p50 / p99 | queue p50 / p99 |");
        Line($"|---|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (var stage in report.Stages.Length > 1 ? report.Stages.Append(report.Whole) : report.Stages)
        {
            Line($"| {stage.Name} | {Seconds(stage.StartSeconds)} | {Seconds(stage.DurationSeconds)} | {Rate(stage.OfferedPerSecond)} | {Rate(stage.GoodputPerSecond)} | {Rate(stage.TokensPerSecond)} | {Percent(stage.RefusalRate)} | {Percent(stage.ErrorRate)} | {Pair(stage.FirstToken)} | {Pair(stage.Total)} | {Pair(stage.Refusal)} | {Pair(stage.Queue)} |");
        }

        if (!report.Keys.IsEmpty)
        {
            Line();
            Line($"| key | offered/s | ok/s | refused | errors | first token p50 / p99 | total p50 / p99 | queue p50 / p99 |");
            Line($"|---|---|---|---|---|---|---|---|");
            foreach (var key in report.Keys)
            {
                Line($"| {key.Name} | {Rate(key.OfferedPerSecond)} | {Rate(key.GoodputPerSecond)} | {Percent(key.RefusalRate)} | {Percent(key.ErrorRate)} | {Pair(key.FirstToken)} | {Pair(key.Total)} | {Pair(key.Queue)} |");
            }
        }

        Line();
        Line($"| latency, all | count | mean | p50 | p90 | p99 | p99.9 | max |");
        Line($"|---|---|---|---|---|---|---|---|");
        foreach (var (name, latency) in Latencies(report.Whole))
        {
            Line($"| {name} | {Count(latency.Count)} | {Milliseconds(latency.Mean)} | {Milliseconds(latency.P50)} | {Milliseconds(latency.P90)} | {Milliseconds(latency.P99)} | {Milliseconds(latency.P999)} | {Milliseconds(latency.Max)} |");
        }

        Line();
        Line($"| outcome | requests | more |");
        Line($"|---|---|---|");
        foreach (var (outcome, count) in report.Whole.Outcomes.Where(static pair => pair.Value > 0).OrderByDescending(static pair => pair.Value))
        {
            Line($"| {outcome} | {Count(count)} | {Reasons(report, outcome)} |");
        }

        Line();
        Line($"{Count(report.Whole.TextsChecked)} answers held against the simulator's text.{Cpu(report.Cpu)}");
        return text.ToString();

        void Line(FormattableString? line = null) => text.Append(line?.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    /// <summary>The distributions that have values, with their names.</summary>
    public static IEnumerable<(string Name, LatencySummary Latency)> Latencies(StageReport stage)
    {
        (string, LatencySummary?)[] all =
        [
            ("first token", stage.FirstToken), ("between tokens", stage.BetweenTokens), ("total", stage.Total), ("refusal", stage.Refusal),
            ("queue, by header", stage.Queue), ("sent late", stage.Lag),
        ];
        return all.Where(static pair => pair.Item2 is not null).Select(static pair => (pair.Item1, pair.Item2!));
    }

    public static string Reasons(RunReport report, string outcome) =>
        string.Join(", ", report.Reasons.Where(reason => reason.Outcome == outcome).Select(static reason => $"{reason.Reason}: {Count(reason.Count)}"));

    public static string Cpu(CpuReport? cpu) => cpu is null
        ? ""
        : $" CPU: tester {Seconds(cpu.TesterSeconds)}" + (cpu is { GatewaySeconds: { } seconds, GatewayMillisecondsPerRequest: { } each } ? $", gateway {Seconds(seconds)} ({Milliseconds(each)} per request)." : ".");

    public static string Pair(LatencySummary? latency) => latency is null ? "–" : $"{Milliseconds(latency.P50)} / {Milliseconds(latency.P99)}";
}
