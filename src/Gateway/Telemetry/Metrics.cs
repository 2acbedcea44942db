using System.Diagnostics.Metrics;
using OpenTelemetry.Metrics;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>Wires the rooms' meters to the Prometheus endpoint. Knows no room: their names come in.</summary>
internal static class Metrics
{
    /// <summary>Most points of one metric: 1,000 backends with 14 states each fit.</summary>
    private const int MostPoints = 20_000;

    public static void AddGatewayMetrics(this IServiceCollection services, params IEnumerable<string> meters) =>
        services.AddOpenTelemetry().WithMetrics(metrics => metrics
            .AddMeter([.. meters])
            .AddMeter("Microsoft.AspNetCore.Server.Kestrel", "System.Runtime")
            .AddView(instrument => instrument is Histogram<double> ? null : new MetricStreamConfiguration { CardinalityLimit = MostPoints })
            .AddPrometheusExporter(exporter => exporter.ScopeInfoEnabled = false));
}
