using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace LlmGateway.Probes;

/// <summary>The probes' numbers. Meter <c>LlmGateway.Probes</c>; label values are backends of the configuration and closed lists.</summary>
public sealed class ProbeMetrics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "LlmGateway.Probes";

    /// <summary>1 ms, doubling, up to 16 s.</summary>
    private static readonly double[] Buckets = [.. Enumerable.Range(0, 15).Select(i => 0.001 * (1 << i))];

    private readonly Counter<long> _liveness;
    private readonly Counter<long> _readiness;
    private readonly Histogram<double> _duration;
    private readonly ConcurrentDictionary<string, Lazy<(Meter Meter, Histogram<double> Histogram)>> _health = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string Backend, string Probe), int> _failures = new();

    /// <summary>Makes the instruments.</summary>
    public ProbeMetrics(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        Meters = meters;
        var meter = meters.Create(MeterName);
        _liveness = meter.CreateCounter<long>("llmgateway_liveness_probes", description: "Liveness probes by result.");
        _readiness = meter.CreateCounter<long>("llmgateway_readiness_probes", description: "Readiness probes by result.");
        _duration = Histogram(meter, "llmgateway_probe_duration", "How long one probe took.");
        meter.CreateObservableGauge(
            "llmgateway_probe_consecutive_failures",
            () => _failures.Select(entry => new Measurement<int>(entry.Value, new("backend", entry.Key.Backend), new("probe", entry.Key.Probe))),
            description: "Failures in a row, 0 while it passes.");
        foreach (var result in new[] { "pass", "fail", "loading" })
        {
            _liveness.Add(0, new KeyValuePair<string, object?>("result", result));
            _readiness.Add(0, new KeyValuePair<string, object?>("result", result));
        }
    }

    /// <summary>Who makes the meters: what a backend has of its own is marked as this one's, too.</summary>
    public IMeterFactory Meters { get; }

    /// <summary>Counts each report and hands it on.</summary>
    /// <param name="backend">The backend's name.</param>
    /// <param name="probe"><c>startup</c>, <c>readiness</c> or <c>liveness</c>.</param>
    /// <param name="next">Who gets the report.</param>
    public Action<BackendReport> Counting(string backend, string probe, Action<BackendReport> next)
    {
        ArgumentNullException.ThrowIfNull(next);
        return report =>
        {
            Record(backend, probe, report);
            ProbeTraces.Record(backend, probe, report);
            next(report);
        };
    }

    /// <summary>The backend's process is gone and the next one has not been probed yet: its gauges go with it.</summary>
    public void Forget(string backend)
    {
        foreach (var key in _failures.Keys.Where(key => key.Backend == backend))
        {
            _failures.TryRemove(key, out _);
        }
    }

    /// <summary>The backend is there no more: all its series go.</summary>
    public void Remove(string backend)
    {
        Forget(backend);
        if (_health.TryRemove(backend, out var removed))
        {
            removed.Value.Meter.Dispose();
        }
    }

    // On a meter of its own: nothing else takes a histogram's series away. Lazily: a meter that loses the race would stay published for ever.
    private Histogram<double> Health(string backend) => _health.GetOrAdd(backend, name => new(() =>
    {
        var meter = new Meter(new MeterOptions(MeterName) { Tags = [new("subject", name)], Scope = Meters });
        return (meter, Histogram(meter, "llmgateway_health_check_duration", "How long one readiness probe of a backend took."));
    })).Value.Histogram;

    private static Histogram<double> Histogram(Meter meter, string name, string description) =>
        meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = Buckets });

    private void Record(string backend, string probe, BackendReport report)
    {
        var result = new KeyValuePair<string, object?>("result", report.Result.Outcome switch
        {
            ProbeOutcome.Pass => "pass",
            ProbeOutcome.Loading => "loading",
            _ => "fail",
        });
        var seconds = report.Result.Elapsed.TotalSeconds;
        _duration.Record(seconds, new("probe", probe), result);
        _failures[(backend, probe)] = report.Verdict.Failures;
        if (probe == "readiness")
        {
            _readiness.Add(1, result);
            Health(backend).Record(seconds, new KeyValuePair<string, object?>("backend", backend));
        }
        else if (probe == "liveness")
        {
            _liveness.Add(1, result);
        }
    }
}
