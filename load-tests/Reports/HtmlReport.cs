using System.Globalization;
using System.Text;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using static LlmGateway.LoadTests.Reports.Numbers;

namespace LlmGateway.LoadTests.Reports;

/// <summary>A run's report as one page: no scripts, nothing loaded from anywhere.</summary>
internal static class HtmlReport
{
    private const string Style = """
        :root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --page: #fff; --band: #f3f5f8;
          --blue: #2f6fde; --teal: #12908a; --amber: #d98a00; --red: #cf3341; --violet: #7a55c7; --grey: #8c97a6; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e3e8ef; --soft: #9aa6b6; --line: #303a47; --page: #12171e; --band: #1a212b;
          --blue: #6ea3ff; --teal: #3cc4bc; --amber: #f2b134; --red: #ff6b76; --violet: #ab8bf0; --grey: #7b8696; } }
        body { margin: 0 auto; max-width: 1480px; padding: 20px 24px 40px; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
        h1 { font-size: 22px; margin: 0 0 2px; } h2 { font-size: 15px; margin: 26px 0 6px; } p { margin: 4px 0; } .soft { color: var(--soft); }
        .cards { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; } .card { border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; min-width: 96px; }
        .card b { display: block; font-size: 19px; font-variant-numeric: tabular-nums; } .card span { color: var(--soft); font-size: 12px; }
        .note { border-left: 4px solid var(--amber); padding: 4px 10px; background: var(--band); } .bad { color: var(--red); font-weight: 600; } .good { color: var(--teal); }
        .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(560px, 100%), 1fr)); gap: 14px; } .plots > div { border: 1px solid var(--line); border-radius: 8px; padding: 6px; }
        .scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; } th, td { padding: 3px 12px 3px 0; text-align: right; border-bottom: 1px solid var(--line); }
        th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child, td.text, th.text { text-align: left; } td.text { white-space: normal; }
        svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; } svg .title { fill: var(--ink); font-size: 13px; font-weight: 600; }
        svg .stage { font-size: 10px; opacity: .8; } .grid { stroke: var(--line); stroke-width: 1; } .band0 { fill: none; } .band1 { fill: var(--band); }
        .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } .line.dashed { stroke-dasharray: 5 4; }
        .line.blue { stroke: var(--blue); } .line.teal { stroke: var(--teal); } .line.amber { stroke: var(--amber); } .line.red { stroke: var(--red); } .line.grey { stroke: var(--grey); }
        .fill.blue { fill: var(--blue); } .fill.teal { fill: var(--teal); } .fill.amber { fill: var(--amber); } .fill.red { fill: var(--red); } .fill.violet { fill: var(--violet); } .fill.grey { fill: var(--grey); }
        """;

    // What is alike has one colour: six are told apart, eleven are not.
    private static readonly (string Name, string Style, Outcome[] Outcomes)[] Groups =
    [
        ("ok", "teal", [Outcome.Ok]),
        ("left", "violet", [Outcome.Left]),
        ("refused with Retry-After", "amber", [Outcome.Refused429, Outcome.Refused503]),
        ("refused without", "blue", [Outcome.Refused429Bare, Outcome.Refused503Bare]),
        ("client timeout", "grey", [Outcome.ClientTimeout]),
        ("error", "red", [Outcome.BrokenStream, Outcome.WrongText, Outcome.Error, Outcome.NotSent]),
    ];

    public static string Render(RunReport report)
    {
        var page = new StringBuilder();
        Add($"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
        Add($"<title>Load test: {Escape(report.Scenario)}</title>\n<style>\n{Style}\n</style>\n</head>\n<body>\n");
        Add($"<h1>Load test: {Escape(report.Scenario)}</h1>\n<p>{Escape(report.Description)}</p>\n");
        Add($"<p class=\"soft\">{report.StartedAt.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture)} UTC · model {Escape(report.Model)} at {Escape(report.Url)} · {Escape(report.Machine)} · seed {report.Seed} · clients wait {Seconds(report.PatienceSeconds)}</p>\n");
        foreach (var note in report.Notes)
        {
            Add($"<p class=\"note\">{Escape(note)}</p>\n");
        }

        Cards();
        Thresholds();
        Add($"<div class=\"plots\">\n");
        foreach (var plot in Plots(report))
        {
            Add($"<div>{plot}</div>\n");
        }

        Add($"</div>\n");
        Stages();
        Distributions();
        Outcomes();
        Add($"<p class=\"soft\">Latency counts from the intended start, whenever the request was really sent. ok/s counts whole answers that ended within the stage, without its first second. {Count(report.Whole.TextsChecked)} answers held against the simulator's text.{Escape(MarkdownReport.Cpu(report.Cpu))}</p>\n");
        Add($"</body>\n</html>\n");
        return page.ToString();

        void Add(FormattableString text) => page.Append(text.ToString(CultureInfo.InvariantCulture));

        void Cards()
        {
            var whole = report.Whole;
            (string Value, string Name)[] cards =
            [
                (Count(whole.Requests), "requests"), (Rate(whole.OfferedPerSecond), "offered /s"), (Rate(whole.GoodputPerSecond), "ok /s"), (Rate(whole.TokensPerSecond), "tokens /s"),
                (Milliseconds(whole.FirstToken?.P50), "first token p50"), (Milliseconds(whole.FirstToken?.P99), "first token p99"), (Milliseconds(whole.Total?.P99), "total p99"),
                (Percent(whole.RefusalRate), "refused"), (Percent(whole.ErrorRate), "errors"),
            ];
            Add($"<div class=\"cards\">");
            foreach (var (value, name) in cards)
            {
                Add($"<div class=\"card\"><b>{Escape(value)}</b><span>{Escape(name)}</span></div>");
            }

            Add($"</div>\n");
        }

        void Thresholds()
        {
            foreach (var threshold in report.Thresholds)
            {
                Add($"<p class=\"{(threshold.Passed ? "good" : "bad")}\">{(threshold.Passed ? "✓" : "✗")} {Escape(threshold.ToString())}</p>\n");
            }
        }

        void Stages()
        {
            Add($"<h2>Stages</h2>\n<div class=\"scroll\"><table><tr><th>stage</th><th>from</th><th>for</th><th>requests</th><th>planned/s</th><th>offered/s</th><th>ok/s</th><th>tokens/s</th><th>refused</th><th>errors</th><th>first token p50 / p99</th><th>total p50 / p99</th><th>refusal p50 / p99</th><th>queue p50 / p99</th></tr>\n");
            foreach (var stage in report.Stages.Length > 1 ? report.Stages.Append(report.Whole) : report.Stages)
            {
                Add($"<tr><td>{Escape(stage.Name)}</td><td>{Seconds(stage.StartSeconds)}</td><td>{Seconds(stage.DurationSeconds)}</td><td>{Count(stage.Requests)}</td><td>{Rate(stage.PlannedPerSecond)}</td><td>{Rate(stage.OfferedPerSecond)}</td><td>{Rate(stage.GoodputPerSecond)}</td><td>{Rate(stage.TokensPerSecond)}</td><td>{Percent(stage.RefusalRate)}</td><td{(stage.ErrorRate > 0 ? " class=\"bad\"" : "")}>{Percent(stage.ErrorRate)}</td>");
                Add($"<td>{MarkdownReport.Pair(stage.FirstToken)}</td><td>{MarkdownReport.Pair(stage.Total)}</td><td>{MarkdownReport.Pair(stage.Refusal)}</td><td>{MarkdownReport.Pair(stage.Queue)}</td></tr>\n");
            }

            Add($"</table></div>\n");
        }

        void Distributions()
        {
            Add($"<h2>Latency, all stages</h2>\n<div class=\"scroll\"><table><tr><th></th><th>count</th><th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>\n");
            foreach (var (name, latency) in MarkdownReport.Latencies(report.Whole))
            {
                Add($"<tr><td>{name}</td><td>{Count(latency.Count)}</td><td>{Milliseconds(latency.Mean)}</td><td>{Milliseconds(latency.P50)}</td><td>{Milliseconds(latency.P90)}</td><td>{Milliseconds(latency.P99)}</td><td>{Milliseconds(latency.P999)}</td><td>{Milliseconds(latency.Max)}</td></tr>\n");
            }

            Add($"</table></div>\n");
        }

        void Outcomes()
        {
            Add($"<h2>Outcomes</h2>\n<div class=\"scroll\"><table><tr><th>outcome</th><th>requests</th><th class=\"text\">more</th></tr>\n");
            foreach (var (outcome, count) in report.Whole.Outcomes.Where(static pair => pair.Value > 0).OrderByDescending(static pair => pair.Value))
            {
                Add($"<tr><td>{outcome}</td><td>{Count(count)}</td><td class=\"text\">{Escape(MarkdownReport.Reasons(report, outcome))}</td></tr>\n");
            }

            Add($"</table></div>\n");
        }
    }

    private static IEnumerable<string> Plots(RunReport report)
    {
        yield return Percentiles("Time to the first token, by intended start", static i => i.FirstTokenP50, static i => i.FirstTokenP90, static i => i.FirstTokenP99);
        yield return Percentiles("Time to the last byte, by intended start", static i => i.TotalP50, static i => i.TotalP90, static i => i.TotalP99);

        var throughput = OverTime("Requests per second", static y => Text(y, "0.##"));
        throughput.Line("offered", "grey dashed", [.. report.Intervals.Select((interval, i) => (ValueTuple<double, double>?)(Middle(i), interval.Arrivals / report.IntervalSeconds))]);
        throughput.Line("ok", "teal", PerSecond(static outcome => outcome == Outcome.Ok));
        throughput.Line("refused", "amber", PerSecond(static outcome => outcome.IsRefusal()));
        throughput.Line("errors and timeouts", "red", PerSecond(static outcome => outcome.IsError()));
        yield return throughput.Render();

        var outcomes = OverTime("Outcomes, by end", static y => Text(y, "0.##"));
        var shown = Groups.Where(group => report.Intervals.Any(interval => group.Outcomes.Any(outcome => interval.Ended[(int)outcome] > 0))).ToArray();
        outcomes.Layers(shown.Select(static group => (group.Name, group.Style)));
        for (var i = 0; i < report.Intervals.Length; i++)
        {
            var ended = report.Intervals[i].Ended;
            outcomes.Bar(i * report.IntervalSeconds, (i + 1) * report.IntervalSeconds, [.. shown.Select(group => (double)group.Outcomes.Sum(outcome => ended[(int)outcome]))]);
        }

        yield return outcomes.Render();
        yield return Histogram("First token: how many took how long", "blue", report.FirstTokenBars);
        yield return Histogram("Total: how many took how long", "teal", report.TotalBars);

        double Middle(int interval) => (interval + 0.5) * report.IntervalSeconds;

        SvgPlot OverTime(string title, Func<double, string> label, bool isLog = false)
        {
            var plot = new SvgPlot(title, Math.Max(report.Intervals.Length * report.IntervalSeconds, report.Whole.DurationSeconds), "seconds", label) { IsLogY = isLog };
            foreach (var stage in report.Stages)
            {
                plot.Band(stage.StartSeconds, stage.StartSeconds + stage.DurationSeconds, stage.Name);
            }

            return plot;
        }

        string Percentiles(string title, params Func<IntervalReport, double?>[] percentiles)
        {
            var plot = OverTime(title, static y => Milliseconds(y), isLog: true);
            foreach (var (name, style, percentile) in new[] { ("p50", "teal", percentiles[0]), ("p90", "amber", percentiles[1]), ("p99", "red", percentiles[2]) })
            {
                plot.Line(name, style, [.. report.Intervals.Select((interval, i) => percentile(interval) is { } value ? (Middle(i), value) : (ValueTuple<double, double>?)null)]);
            }

            return plot.Render();
        }

        IReadOnlyList<(double, double)?> PerSecond(Func<Outcome, bool> isCounted) =>
        [
            .. report.Intervals.Select((interval, i) =>
                ((double, double)?)(Middle(i), interval.Ended.Where((_, outcome) => isCounted((Outcome)outcome)).Sum() / report.IntervalSeconds)),
        ];

        static string Histogram(string title, string style, IReadOnlyList<LatencyBar> bars)
        {
            var (from, to) = bars.Count == 0 ? (1, 10) : (bars[0].From, bars[^1].To);
            var plot = new SvgPlot(title, to, "logarithmic", static y => Text(y, "0.##"), from) { IsLogX = true, XLabel = static x => Milliseconds(x) };
            plot.Layers([("requests", style)]);
            foreach (var bar in bars)
            {
                plot.Bar(bar.From, bar.To, bar.Count);
            }

            return plot.Render();
        }
    }

    private static string Escape(string text) => SvgPlot.Escape(text);
}
