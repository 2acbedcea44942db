using System.Diagnostics;

namespace LlmGateway.Probes;

/// <summary>A span for each probe that changed a verdict, and for one in a hundred of the others.</summary>
internal static class ProbeTraces
{
    private const uint OneIn = 100;

    private static readonly ActivitySource Source = new("LlmGateway.Probes");
    private static uint _count;

    public static void Record(string backend, string probe, BackendReport report)
    {
        if (!Source.HasListeners() || (!report.Changed && Interlocked.Increment(ref _count) % OneIn != 1))
        {
            return;
        }

        // Made afterwards: only then is it known whether it is worth one.
        Activity.Current = null;
        using var span = Source.StartActivity("probe", ActivityKind.Client, parentContext: default, startTime: report.At - report.Result.Elapsed);
        span?.SetTag("llmgateway.backend", backend)
            .SetTag("llmgateway.probe", probe)
            .SetTag("llmgateway.probe.changed", report.Changed)
            .SetStatus(report.Result.Outcome == ProbeOutcome.Pass ? ActivityStatusCode.Ok : ActivityStatusCode.Error)
            .SetEndTime(report.At.UtcDateTime);
        if (report.Result.Outcome != ProbeOutcome.Pass)
        {
            span?.SetTag("error.type", report.Result.Reason.ToString());
        }
    }
}
