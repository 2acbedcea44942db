using System.Diagnostics.Metrics;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>Collects what one gateway measures. Made before all else, so that no first value is missed; knows no room: the meters' names come in.</summary>
internal sealed class GatewayTelemetry : IAsyncDisposable
{
    /// <summary>Meters of one gateway: shared ones and those of its models and backends. 1,000 backends have some thousand streams.</summary>
    private const int MostStreams = 50_000;

    /// <summary>Series of one metric of a model's or backend's own meter.</summary>
    private const int MostOfASubject = 1_000;

    /// <summary>Series of one metric that is observed for all backends: 1,000 of them with 14 states each fit.</summary>
    private const int MostObserved = 20_000;

    /// <summary>Their names end as only a histogram's may.</summary>
    private static readonly Dictionary<string, string> Renamed = new(StringComparer.Ordinal)
    {
        ["dotnet.assembly.count"] = "dotnet.assemblies",
        ["dotnet.process.cpu.count"] = "dotnet.process.cpus",
        ["dotnet.timer.count"] = "dotnet.timers",
    };

    /// <summary>The runtime calls these counters, and they go down; <see cref="ProcessMetrics"/> has them as gauges.</summary>
    private static readonly HashSet<string> Dropped = ["dotnet.thread_pool.thread.count", "dotnet.thread_pool.queue.length"];

    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();

    /// <param name="meters">Names of the rooms' meters.</param>
    public GatewayTelemetry(params IEnumerable<string> meters)
    {
        Meters = _services.GetRequiredService<IMeterFactory>();
        Provider = Sdk.CreateMeterProviderBuilder()
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
        Provider.Dispose();
        await _services.DisposeAsync();
    }

    private MetricStreamConfiguration? Stream(Instrument instrument)
    {
        var isForeign = instrument.Meter.Scope != Meters && instrument.Meter.Name != "System.Runtime";
        return isForeign || Dropped.Contains(instrument.Name) ? MetricStreamConfiguration.Drop
            : Renamed.TryGetValue(instrument.Name, out var name) ? new MetricStreamConfiguration { Name = name }
            : instrument.Meter.Tags?.Any() == true ? WithLimit(instrument, MostOfASubject)
            : instrument.IsObservable ? WithLimit(instrument, MostObserved)
            : null;
    }

    // A view of a histogram replaces the buckets that the instrument asks for, so it names them again.
    private static MetricStreamConfiguration WithLimit(Instrument instrument, int limit) =>
        instrument is Histogram<double> { Advice.HistogramBucketBoundaries: { } buckets }
            ? new ExplicitBucketHistogramConfiguration { Boundaries = [.. buckets], CardinalityLimit = limit }
            : new MetricStreamConfiguration { CardinalityLimit = limit };
}
