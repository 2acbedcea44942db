using System.Globalization;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Scenarios;
using Spectre.Console;

namespace LlmGateway.LoadTests.Running;

/// <summary>Shows a run while it runs: a live table on a terminal, else a line every two seconds.</summary>
internal sealed class ProgressDisplay(Scenario scenario, LoadRunner runner, IAnsiConsole console)
{
    private static readonly TimeSpan LiveInterval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(2);

    private long _lastOk;
    private TimeSpan _lastTime;

    public async Task ShowAsync(Task run)
    {
        if (console.Profile.Capabilities.Interactive && console.Profile.Out.IsTerminal)
        {
            await console.Live(new Text("")).StartAsync(async live =>
            {
                while (await IsRunningAsync(run, LiveInterval).ConfigureAwait(false))
                {
                    live.UpdateTarget(Table());
                }

                live.UpdateTarget(Table());
            }).ConfigureAwait(false);
        }
        else
        {
            while (await IsRunningAsync(run, LineInterval).ConfigureAwait(false))
            {
                console.Profile.Out.Writer.WriteLine(Line());
            }
        }

        await run.ConfigureAwait(false);
    }

    private static async Task<bool> IsRunningAsync(Task run, TimeSpan interval) =>
        await Task.WhenAny(run, Task.Delay(interval, TimeProvider.System)).ConfigureAwait(false) != run;

    private Table Table()
    {
        var ended = runner.Measurements?.Ended() ?? new long[OutcomeExtensions.Count];
        var table = new Table().Border(TableBorder.Rounded).AddColumns("what", "now");
        table.AddRow("time", Markup.Escape(Text($"{runner.Elapsed.TotalSeconds:0} s of {scenario.Duration.TotalSeconds:0} s, {StageName()}")));
        table.AddRow("in flight", Text($"{runner.InFlight}"));
        table.AddRow("ok/s", Text($"{OkPerSecond(ended):0.0}"));
        for (var i = 0; i < ended.Length; i++)
        {
            if (ended[i] > 0)
            {
                table.AddRow(((Outcome)i).ToLabel(), Text($"{ended[i]}"));
            }
        }

        return table;
    }

    private string Line()
    {
        var ended = runner.Measurements?.Ended() ?? new long[OutcomeExtensions.Count];
        var outcomes = string.Join(", ", Enumerable.Range(0, ended.Length).Where(i => ended[i] > 0).Select(i => Text($"{((Outcome)i).ToLabel()} {ended[i]}")));
        return Text($"{runner.Elapsed.TotalSeconds,5:0} s  {StageName(),-12} {runner.InFlight,5} in flight  {OkPerSecond(ended),7:0.0} ok/s  {outcomes}");
    }

    private double OkPerSecond(long[] ended)
    {
        var (ok, now) = (ended[(int)Outcome.Ok], runner.Elapsed);
        var rate = (ok - _lastOk) / Math.Max(0.001, (now - _lastTime).TotalSeconds);
        (_lastOk, _lastTime) = (ok, now);
        return rate;
    }

    private string StageName()
    {
        var end = TimeSpan.Zero;
        foreach (var stage in scenario.Stages)
        {
            end += stage.Duration;
            if (runner.Elapsed < end)
            {
                return stage.Name;
            }
        }

        return "last answers";
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
