using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Scheduling;

namespace LlmGateway.Gateway.Tests.Fakes;

/// <summary>Makes meters that nobody listens to.</summary>
internal sealed class TestMeters : IMeterFactory
{
    private readonly List<Meter> _meters = [];

    public static SchedulingMetrics Scheduling() => new(new TestMeters());

    public Meter Create(MeterOptions options)
    {
        var meter = new Meter(options);
        _meters.Add(meter);
        return meter;
    }

    public void Dispose() => _meters.ForEach(meter => meter.Dispose());
}
