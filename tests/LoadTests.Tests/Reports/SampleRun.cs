using System.Diagnostics;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Tests.Reports;

/// <summary>A run of eight seconds that never was: every number the same on each machine.</summary>
internal static class SampleRun
{
    public static RunReport Report()
    {
        var scenario = new Scenario(
            "sample", "Two stages, all <outcomes>.", [new OpenStage("calm", TimeSpan.FromSeconds(4), 0.5), new OpenStage("busy", TimeSpan.FromSeconds(4), 2)], new RequestMix());
        var measurements = new Measurements(scenario, origin: 0);
        for (var i = 0; i < 400; i++)
        {
            var start = i < 80 ? i * 0.05 : 4 + ((i - 80) * 0.0125);
            var outcome = i < 80 || i % 2 == 0 ? Outcome.Ok : (Outcome)(i / 2 % OutcomeExtensions.Count);
            var seconds = outcome == Outcome.Ok ? 0.2 + (i % 10 * 0.01) : 0.005;
            var isStreamed = outcome is Outcome.Ok or Outcome.BrokenStream;
            var request = new RequestRecord
            {
                IntendedStart = Ticks(start),
                Sent = Ticks(start + 0.0001),
                FirstToken = isStreamed ? Ticks(start + 0.004 + (i % 7 * 0.001)) : 0,
                End = Ticks(start + seconds),
                Outcome = outcome,
                Reason = outcome == Outcome.Refused429 ? "429 queue_full" : outcome == Outcome.BrokenStream ? "ended without [DONE]" : null,
                IsStream = true,
                Tokens = isStreamed ? 16 : 0,
                Bytes = 1000,
                QueueMilliseconds = isStreamed ? i % 5 : null,
                IsTextChecked = outcome == Outcome.Ok,
            };
            for (var gap = 1; isStreamed && gap < 16; gap++)
            {
                request.AddGap(Ticks(0.0125));
            }

            measurements.Record(request);
        }

        var report = RunReport.Create(
            scenario, new Uri("http://127.0.0.1:8080"), "demo", new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero), "2 cores", measurements) with
        {
            Notes = ["A note & more."],
            Cpu = new CpuReport(1.5, 2, 5),
        };
        return report with
        {
            Thresholds =
            [
                .. new[] { ("min-goodput", "busy=20"), ("max-error-rate", "0") }
                    .Select(pair => Threshold.Parse(ThresholdKind.All.First(kind => kind.Name == pair.Item1), pair.Item2).Judge(report)),
            ],
        };
    }

    private static long Ticks(double seconds) => (long)Math.Round(seconds * Stopwatch.Frequency);
}
