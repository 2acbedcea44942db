using System.Globalization;
using System.Text;
using LlmGateway.LoadTests.Reports;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.Benchmarks.Simulation;

/// <summary>The policy table, and a plot of it, over several seeds.</summary>
internal static class SimulationReport
{
    private const string Ours = "**the gateway**";

    private static readonly double[] Loads = [0.5, 0.8, 1, 1.3, 2, 3];

    private static readonly (string Policy, string Name, string Style)[] Drawn =
    [
        ("least outstanding, queue at the server", "least busy", "red"), ("session hash, late ones dropped", "hash + drop", "blue"),
        ("one queue, first come first served", "fifo", "grey"), ("one queue, late ones dropped", "fifo + drop", "amber"), (Ours, "the gateway", "teal"),
    ];

    /// <summary>Runs everything.</summary>
    /// <returns>Markdown, and the plots by name.</returns>
    public static (string Markdown, IReadOnlyDictionary<string, string> Plots) Run(int requests, int seeds, Action<string> log)
    {
        var text = new StringBuilder();
        var all = new List<Cell>();
        foreach (var load in Loads)
        {
            foreach (var (name, create) in Policies())
            {
                var runs = Enumerable.Range(1, seeds).Select(seed => World.Run(new Workload { Load = load, Requests = requests, Seed = (ulong)seed }, name, create)).ToList();
                var cell = Cell.Of(name, load, runs);
                all.Add(cell);
                log(string.Create(CultureInfo.InvariantCulture, $"load {load:0.0}  {name,-45} p99 {cell.P99:0.0} s  goodput {cell.Goodput:0.000}  light {cell.Light:0.000}  hit {cell.Hit:0.00}  {cell.PerSecond:0.00}/s"));
            }
        }

        text.Append("| policy |");
        foreach (var load in Loads)
        {
            text.Append(CultureInfo.InvariantCulture, $" load {load:0.0}: p99 first token, goodput (light keys), hits |");
        }

        text.Append("\n|---|").Append(string.Concat(Loads.Select(static _ => "---|"))).Append('\n');
        foreach (var row in all.GroupBy(static cell => cell.Policy))
        {
            text.Append(CultureInfo.InvariantCulture, $"| {row.Key} |");
            foreach (var cell in row)
            {
                text.Append(CultureInfo.InvariantCulture, $" {cell.P99:0.0} s, {cell.Goodput:0.00} ({cell.Light:0.00}), {cell.Hit:0.00} |");
            }

            text.Append('\n');
        }

        var crash = Policies().Select(policy => Cell.Of(
            policy.Name, 0.8, [.. Enumerable.Range(1, seeds).Select(seed => World.Run(new Workload { Load = 0.8, Requests = requests, Seed = (ulong)seed, Crash = (0.4, 0.6) }, policy.Name, policy.Create))])).ToList();
        text.Append("\nThe same at load 0.8 with one of the four servers away for a fifth of the time:\n\n| policy | p99 first token | goodput (light keys) | hits |\n|---|---|---|---|\n");
        foreach (var cell in crash)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {cell.Policy} | {cell.P99:0.0} s | {cell.Goodput:0.00} ({cell.Light:0.00}) | {cell.Hit:0.00} |\n");
        }

        return (text.ToString(), new Dictionary<string, string>
        {
            ["scheduling-goodput"] = Plot(all, "Share of requests whose first token comes within 10 s", static cell => cell.Goodput),
            ["scheduling-light"] = Plot(all, "The same, of all keys but the one that sends 60 %", static cell => cell.Light),
        });
    }

    private static IEnumerable<(string Name, Func<SimulatedTime, IPolicy> Create)> Policies()
    {
        var world = new Workload();
        yield return ("random, queue at the server", time => new BackendQueues(time, world, Random(world)));
        yield return ("least outstanding, queue at the server", time => new BackendQueues(time, world, LeastBusy));
        yield return ("session hash, queue at the server", time => new BackendQueues(time, world, Hash(world)));
        yield return ("session hash, late ones dropped", time => new BackendQueues(time, world, Hash(world), world.Deadline));
        yield return ("one queue, first come first served", time => new CentralFifo(time, world));
        yield return ("one queue, late ones dropped", time => new CentralFifo(time, world, world.Deadline));
        yield return (Ours, time => new GatewayPolicy(time, world));
    }

    private static Func<SimulatedRequest, IReadOnlyList<int>, int> Random(Workload world) =>
        (request, _) => (int)(new Dice(99, (ulong)request.Number).NextDouble() * world.Backends);

    private static Func<SimulatedRequest, IReadOnlyList<int>, int> Hash(Workload world) =>
        (request, _) => (int)(new Dice(7, (ulong)request.Conversation.Session).NextDouble() * world.Backends);

    private static int LeastBusy(SimulatedRequest request, IReadOnlyList<int> loads) => Enumerable.Range(0, loads.Count).MinBy(i => loads[i]);

    // A picture by itself has no page whose style it could use.
    private const string Style =
        "<style>text{fill:#5b6675;font:11px system-ui,sans-serif}.title{fill:#1c2430;font-size:13px;font-weight:600}.grid{stroke:#d9dee5}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
        + ".line.blue{stroke:#2f6fde}.line.teal{stroke:#12908a}.line.amber{stroke:#d98a00}.line.red{stroke:#cf3341}.line.grey{stroke:#8c97a6}"
        + ".fill.blue{fill:#2f6fde}.fill.teal{fill:#12908a}.fill.amber{fill:#d98a00}.fill.red{fill:#cf3341}.fill.grey{fill:#8c97a6}</style><rect width=\"720\" height=\"260\" fill=\"#fff\"/>\n";

    private static string Plot(List<Cell> cells, string title, Func<Cell, double> value)
    {
        var plot = new SvgPlot(title, Loads[^1], "offered load; 1 is what the servers do without any cache hit", static y => Numbers.Text(y, "0.##"), Loads[0]);
        foreach (var (policy, name, style) in Drawn)
        {
            plot.Line(name, style, [.. cells.Where(cell => cell.Policy == policy).Select(cell => ((double, double)?)(cell.Load, value(cell)))]);
        }

        var svg = plot.Render();
        return svg.Insert(svg.IndexOf('\n', StringComparison.Ordinal) + 1, Style);
    }

    private sealed record Cell(string Policy, double Load, double P99, double Goodput, double Light, double Hit, double PerSecond)
    {
        public static Cell Of(string policy, double load, IReadOnlyList<WorldResult> runs) => new(
            policy,
            load,
            runs.Average(static run => run.FirstTokenP99),
            runs.Average(static run => run.Goodput),
            runs.Average(static run => run.LightGoodput),
            runs.Average(static run => run.HitRate),
            runs.Average(static run => run.AnswersPerSecond));
    }
}
