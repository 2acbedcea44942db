using System.Diagnostics.Metrics;

namespace LlmGateway.Gateway.Operations;

/// <summary>Which build is running.</summary>
internal sealed class BuildMetrics
{
    public const string MeterName = "LlmGateway.Operations";

    public BuildMetrics(IMeterFactory meters) => meters.Create(MeterName).CreateObservableGauge(
        "llmgateway_build_info",
        () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", StatusReport.Version)),
        description: "1; the label tells the version.");
}
