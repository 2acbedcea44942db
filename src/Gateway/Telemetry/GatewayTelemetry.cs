using System.Diagnostics.Metrics;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>Collects what one gateway measures. Made before all else, so that no first value is missed; knows no room: the meters' names come in.</summary>
internal sealed class GatewayTelemetry : IAsyncDisposable
{
    /// <summary>Meters of one gateway: shared ones and those of its models and backends. 1,000 backends have some thousand streams.</summary>
    private const int MostStreams = 50_000;

    /// <summary>Most series of the shared metrics that have more than others: by several labels, for 1,000 backends. Room is taken at once, some 100 bytes for each.</summary>
    private static readonly Dictionary<string, int> Limits = new(StringComparer.Ordinal)
    {
        ["llmgateway_backend_state"] = 20_000,
        ["llmgateway_backend_slots"] = 6_000,
        ["llmgateway_breaker_transitions"] = 20_000,
        ["llmgateway_upstream_outcomes"] = 10_000,
        ["llmgateway_probe_consecutive_failures"] = 6_000,
    };

    /// <summary>Their names end as only a histogram's may.</summary>
    private static readonly Dictionary<string, string> Renamed = new(StringComparer.Ordinal)
    {
        ["dotnet.assembly.count"] = "dotnet.assemblies",
        ["dotnet.process.cpu.count"] = "dotnet.process.cpus",
        ["dotnet.timer.count"] = "dotnet.timers",
    };

    /// <summary>The runtime calls these counters, and they go down; <see cref="ProcessMetrics"/> has them as gauges.</summary>
    private static readonly HashSet<string> Dropped = ["dotnet.thread_pool.thread.count", "dotnet.thread_pool.queue.length"];

    /// <summary>Most series of one metric of the runtime's or the web server's: by generation, by listener, by kind of error.</summary>
    private const int MostOfTheRuntime = 200;

    private const int LeastKeys = 100;

    private readonly int _mostKeys;
    private readonly TracerProvider? _traces;
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();

    /// <param name="version">Of the gateway.</param>
    /// <param name="keys">API keys that are configured; twice as many may come by reloads before their tokens are counted as others'.</param>
    /// <param name="meters">Names of the rooms' meters.</param>
    public GatewayTelemetry(string version, int keys, params IEnumerable<string> meters)
    {
        _mostKeys = Math.Max(LeastKeys, 2 * keys);
        _traces = TraceExport.Start(version);
        Meters = _services.GetRequiredService<IMeterFactory>();
        Provider = Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(resource => TraceExport.Name(resource, version))
            .AddMeter([.. meters, ProcessMetrics.MeterName, "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime"])
            .SetMaxMetricStreams(MostStreams)
            .AddView(Stream)
            .AddPrometheusExporter(exporter => exporter.ScopeInfoEnabled = false)
            .Build();
        _ = new ProcessMetrics(Meters);
    }

    /// <summary>Makes this gateway's meters: those of another one in the same process are not collected here.</summary>
    public IMeterFactory Meters { get; }

    /// <summary>What <c>/metrics</c> reads.</summary>
    public MeterProvider Provider { get; }

    public async ValueTask DisposeAsync()
    {
        _traces?.Dispose();
        Provider.Dispose();
        await _services.DisposeAsync();
    }

    private MetricStreamConfiguration? Stream(Instrument instrument)
    {
        var isForeign = instrument.Meter.Scope is IMeterFactory scope && scope != Meters;
        return isForeign || Dropped.Contains(instrument.Name) ? MetricStreamConfiguration.Drop
            : Renamed.TryGetValue(instrument.Name, out var name) ? new MetricStreamConfiguration { Name = name, CardinalityLimit = MostOfTheRuntime }
            : instrument.Meter.Tags?.Any() == true ? WithLimit(instrument, MostOfASubject(instrument.Name))
            : Limits.TryGetValue(instrument.Name, out var limit) ? WithLimit(instrument, limit)
            : !instrument.Name.StartsWith("llmgateway_", StringComparison.Ordinal) ? WithLimit(instrument, MostOfTheRuntime)
            : null;
    }

    /// <summary>Most series of one metric of a model's or a backend's own meter.</summary>
    private int MostOfASubject(string name) => name switch
    {
        "llmgateway_requests" => 1_000,
        "llmgateway_prompt_tokens" or "llmgateway_completion_tokens" => 2 * _mostKeys,
        _ => 32,
    };

    // A view of a histogram replaces the buckets that the instrument asks for, so it names them again.
    private static MetricStreamConfiguration WithLimit(Instrument instrument, int limit) =>
        instrument is Histogram<double> { Advice.HistogramBucketBoundaries: { } buckets }
            ? new ExplicitBucketHistogramConfiguration { Boundaries = [.. buckets], CardinalityLimit = limit }
            : new MetricStreamConfiguration { CardinalityLimit = limit };
}
