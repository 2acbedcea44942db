using System.Globalization;
using System.Text;
using LlmGateway.LoadTests.Measuring;
using static LlmGateway.LoadTests.Reports.Numbers;

namespace LlmGateway.LoadTests.Peers;

/// <summary>The comparison as one page: a table a case, ratios first, with the spread over the repeats.</summary>
internal static class PeerReport
{
    public static string Render(IReadOnlyList<PeerResult> results, IReadOnlyList<PeerCase> cases, DateTimeOffset startedAt, string machine)
    {
        var text = new StringBuilder();
        Line($"# Peers side by side");
        Line();
        Line($"{startedAt.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)} UTC · {machine} · {results.Max(static result => result.Repeat) + 1} repeats, peers in turns within each · every value is the median of the repeats, a ratio that of the ratios within each repeat (lowest – highest)");
        foreach (var one in cases)
        {
            var rows = results.Where(result => result.Case == one.Name).GroupBy(static result => result.Peer).ToList();
            if (rows.Count == 0)
            {
                continue;
            }

            var unit = one.Unit == CpuUnit.Token ? "chunk" : "request";
            Line();
            Line($"## {one.Name}: {one.Description}");
            Line();
            Line($"| peer | CPU × {Peer.Baseline} | CPU µs/{unit} | ok/s | first token p50 / p99 | total p50 / p99 | added p50 / p99 | late p99 | refused, after p50 / p99 | PSS MiB | KiB/stream | ok | errors |");
            Line($"|---|---|---|---|---|---|---|---|---|---|---|---|---|");
            var direct = rows.FirstOrDefault(static row => row.Key == "direct")?.ToList();
            foreach (var row in rows)
            {
                var list = row.ToList();
                Line($"| {row.Key} | {Ratio(list, results, one)} | {Number(list, static result => result.CpuMicroseconds, "0.#")} | {Number(list, static result => result.Goodput, "0.#")} | {Pair(list, static tally => tally.FirstToken)} | {Pair(list, static tally => tally.Total)} | {Added(list, direct, one)} | {Late(list, one)} | {Refused(list)} | {Number(list, static result => result.PssBytes / 1048576.0, "0.#")} | {PerStream(list, one)} | {list.Sum(static result => result.Ok)} | {list.Sum(static result => result.Errors)} |");
            }
        }

        return text.ToString();

        void Line(FormattableString? line = null) => text.Append(line?.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static string Ratio(List<PeerResult> list, IReadOnlyList<PeerResult> results, PeerCase one)
    {
        var ratios = list
            .Select(result => result.CpuMicroseconds / results.FirstOrDefault(other => other.Peer == Peer.Baseline && other.Case == one.Name && other.Repeat == result.Repeat)?.CpuMicroseconds)
            .OfType<double>().Where(double.IsFinite).Order().ToList();
        return ratios.Count == 0 ? "–" : $"{Text(Median(ratios), "0.00")} ({Text(ratios[0], "0.00")} – {Text(ratios[^1], "0.00")})";
    }

    private static string Added(List<PeerResult> list, List<PeerResult>? direct, PeerCase one)
    {
        if (direct is null || list[0].Peer == direct[0].Peer)
        {
            return "–";
        }

        Func<PeerResult, LatencySummary?> pick = one.Pace is null ? static result => result.Tally.Total : static result => result.Tally.FirstToken;
        var pairs = list.Join(direct, static result => result.Repeat, static result => result.Repeat, (peer, base_) => (Peer: pick(peer), Direct: pick(base_)))
            .Where(static pair => pair is { Peer: not null, Direct: not null }).ToList();
        return pairs.Count == 0
            ? "–"
            : $"{Milliseconds(Median(pairs.Select(static pair => pair.Peer!.P50 - pair.Direct!.P50)))} / {Milliseconds(Median(pairs.Select(static pair => pair.Peer!.P99 - pair.Direct!.P99)))}";
    }

    private static string Late(List<PeerResult> list, PeerCase one)
    {
        var late = list.Select(result => result.Tally.BetweenTokens?.P99 - one.Pace?.TotalMilliseconds).OfType<double>().ToList();
        return late.Count == 0 ? "–" : Milliseconds(Median(late));
    }

    private static string Refused(List<PeerResult> list)
    {
        var refused = list.Where(static result => result.Tally.Refusal is not null).ToList();
        return refused.Count == 0 ? "–" : $"{refused.Sum(static result => result.Tally.Refusal!.Count)}, {Pair(refused, static tally => tally.Refusal)}";
    }

    private static string PerStream(List<PeerResult> list, PeerCase one)
    {
        var streams = one.Scenario.Stages[0] switch
        {
            Scenarios.ClosedStage closed => closed.Workers,
            _ => one.Scenario.Rate * one.Scenario.Duration.TotalSeconds,
        };
        return one.Unit == CpuUnit.Token ? Number(list, result => (result.PssPeakBytes - result.PssBytes) / 1024.0 / streams, "0.#") : "–";
    }

    private static string Pair(List<PeerResult> list, Func<StageReport, LatencySummary?> pick)
    {
        var values = list.Select(result => pick(result.Tally)).OfType<LatencySummary>().ToList();
        return values.Count == 0 ? "–" : $"{Milliseconds(Median(values.Select(static value => value.P50)))} / {Milliseconds(Median(values.Select(static value => value.P99)))}";
    }

    private static string Number(List<PeerResult> list, Func<PeerResult, double?> pick, string format)
    {
        var values = list.Select(pick).OfType<double>().ToList();
        return values.Count == 0 ? "–" : Text(Median(values), format);
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted.Count % 2 == 1 ? sorted[sorted.Count / 2] : (sorted[(sorted.Count / 2) - 1] + sorted[sorted.Count / 2]) / 2;
    }
}
