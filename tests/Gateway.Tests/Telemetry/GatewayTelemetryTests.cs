using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.Probes;
using LlmGateway.TestKit;

namespace LlmGateway.Gateway.Tests.Telemetry;

public sealed class GatewayTelemetryTests
{
    private const string Overflow = "otel_metric_overflow";

    [Fact]
    public async Task Series_OfAThousandBackendsThatComeAndGo_LeaveWithThemAndNeverOverflow()
    {
        await using var telemetry = new GatewayTelemetry("1.0", 0, ProbeMetrics.MeterName);
        await using var scrape = await Scrape.StartAsync(telemetry);
        var probes = new ProbeMetrics(telemetry.Meters);
        var report = new BackendReport(ProbeResult.Pass(TimeSpan.FromMilliseconds(1)), default, false, default);

        // The series that belong to no backend are there from its first probe on.
        probes.Counting("m/0", "readiness", _ => { })(report);
        probes.Remove("m/0");
        var before = await UntilStableAsync(scrape, lines => !lines.Any(line => line.Contains("backend=", StringComparison.Ordinal)));

        for (var round = 0; round < 3; round++)
        {
            for (var i = 0; i < 1000; i++)
            {
                probes.Counting($"m/{i}", "readiness", _ => { })(report);
            }

            var during = await UntilStableAsync(scrape, lines => lines.Count(line => line.StartsWith("llmgateway_health_check_duration_seconds_count", StringComparison.Ordinal)) == 1000);
            Assert.Equal(1000, during.Count(line => line.StartsWith("llmgateway_probe_consecutive_failures", StringComparison.Ordinal)));
            Assert.DoesNotContain(during, line => line.Contains(Overflow, StringComparison.Ordinal));

            for (var i = 0; i < 1000; i++)
            {
                probes.Remove($"m/{i}");
            }

            Assert.Equal(before.Length, (await UntilStableAsync(scrape, lines => lines.Length == before.Length)).Length);
        }
    }

    [Fact]
    public async Task Series_OfStatesOfAThousandObservedBackends_DoNotOverflow()
    {
        await using var telemetry = new GatewayTelemetry("1.0", 0, "test.observed");
        await using var scrape = await Scrape.StartAsync(telemetry);
        telemetry.Meters.Create("test.observed").CreateObservableGauge(
            "llmgateway_backend_state",
            () => from backend in Enumerable.Range(0, 1000) from state in Enumerable.Range(0, 14) select new Measurement<int>(0, new("backend", $"m/{backend}"), new("state", state)));

        var lines = await UntilStableAsync(scrape, lines => lines.Length > 0);

        Assert.Equal(14_000, lines.Length);
        Assert.DoesNotContain(lines, line => line.Contains(Overflow, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Series_OfTwoGatewaysInOneProcess_AreNotShared()
    {
        await using var one = new GatewayTelemetry("1.0", 0, ProbeMetrics.MeterName);
        await using var other = new GatewayTelemetry("1.0", 0, ProbeMetrics.MeterName);
        await using var scrape = await Scrape.StartAsync(one);
        await using var otherScrape = await Scrape.StartAsync(other);
        _ = new ProbeMetrics(one.Meters);
        var probes = new ProbeMetrics(other.Meters);
        probes.Counting("m/0", "liveness", _ => { })(new BackendReport(ProbeResult.Pass(TimeSpan.Zero), default, false, default));

        Assert.Contains("llmgateway_liveness_probes_total{result=\"pass\"} 0", await scrape.LinesAsync());
        Assert.Contains("llmgateway_liveness_probes_total{result=\"pass\"} 1", await otherScrape.LinesAsync());
    }

    [Fact]
    public void SubjectMeters_RemovedSubject_ItsInstrumentsRecordIntoNothing()
    {
        using var meters = new Fakes.TestMeters();
        using var subjects = new SubjectMeters<Counter<long>>(meters, "test.subjects", (meter, _) => meter.CreateCounter<long>("count"));
        var seen = 0L;
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, it) =>
            {
                if (instrument.Meter.Scope == meters)
                {
                    it.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((_, value, _, _) => seen += value);
        listener.Start();

        var counter = subjects.For("a");
        counter.Add(1);
        Assert.Same(counter, subjects.For("a"));
        subjects.KeepOnly(subject => subject != "a");
        counter.Add(1);
        subjects.For("a").Add(1);

        Assert.Equal(2, seen);
    }

    private static Task<string[]> UntilStableAsync(Scrape scrape, Func<string[], bool> condition) =>
        Eventually.GetAsync(scrape.LinesAsync, condition, "the scrape to be as expected", TestContext.Current.CancellationToken, TimeSpan.FromSeconds(20));
}
