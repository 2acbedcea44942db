using System.Diagnostics;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Tests.Replicas;

public sealed class ReplicaTracesTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(ReplicaState.Ready, ActivityStatusCode.Ok, null)]
    [InlineData(ReplicaState.Backoff, ActivityStatusCode.Error, "crash")]
    public void Observe_EndOfAStart_IsOneSpanFromTheLaunchOn(ReplicaState end, ActivityStatusCode status, string? error)
    {
        var backend = $"trace-test-{end}/0";
        var spans = new List<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "LlmGateway.ProcessManager",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = span =>
            {
                if ((string?)span.GetTagItem("llmgateway.backend") == backend)
                {
                    spans.Add(span);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);

        var launched = new Replica { State = ReplicaState.Starting, Generation = 3, Process = new LiveProcess(4711, BackendAddress.Tcp("127.0.0.1", 1), null, Start) };
        var warming = launched with { State = ReplicaState.Warming };
        var over = warming with { State = end, LastExit = error is null ? null : new ExitReport(null, 11, ExitCause.Crash, "", Start, []) };
        ReplicaTraces.Observe(backend, launched, warming, Start.AddSeconds(1));
        ReplicaTraces.Observe(backend, warming, over, Start.AddSeconds(5));
        ReplicaTraces.Observe(backend, over, over with { Epoch = 9 }, Start.AddSeconds(6));

        var span = Assert.Single(spans);
        Assert.Equal((Start.UtcDateTime, TimeSpan.FromSeconds(5), status), (span.StartTimeUtc, span.Duration, span.Status));
        Assert.Equal((4711, 3, error), (span.GetTagItem("process.pid"), span.GetTagItem("llmgateway.generation"), span.GetTagItem("error.type")));
    }
}
