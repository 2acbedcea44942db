using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;

namespace LlmGateway.Probes.Tests;

public sealed class ProbeMetricsTests
{
    [Fact]
    public void Counting_Reports_AreCountedAndHandedOn()
    {
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var listener = new MeterListener();
        var seen = new List<string>();
        listener.InstrumentPublished = (instrument, it) =>
        {
            if (instrument.Meter.Name == ProbeMetrics.MeterName && ReferenceEquals(instrument.Meter.Scope, services.GetRequiredService<IMeterFactory>()))
            {
                it.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Add(instrument, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
        listener.Start();
        var metrics = new ProbeMetrics(services.GetRequiredService<IMeterFactory>());
        seen.Clear(); // the zeros
        var handed = 0;

        var counting = metrics.Counting("m/0", "readiness", _ => handed++);
        counting(new(ProbeResult.Fail(ProbeReason.Refused, TimeSpan.FromSeconds(2)), new(ProbeHealth.Unhealthy, 0, 3), true, default));
        listener.RecordObservableInstruments();
        metrics.Forget("m/0");
        listener.RecordObservableInstruments();

        Assert.Equal(1, handed);
        Assert.Equal(
            [
                "llmgateway_probe_duration 2 probe=readiness result=fail",
                "llmgateway_readiness_probes 1 result=fail",
                "llmgateway_health_check_duration 2 backend=m/0",
                "llmgateway_probe_consecutive_failures 3 backend=m/0 probe=readiness",
            ],
            seen);

        void Add<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
            seen.Add($"{instrument.Name} {value} {string.Join(' ', tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}"))}");
    }
}
