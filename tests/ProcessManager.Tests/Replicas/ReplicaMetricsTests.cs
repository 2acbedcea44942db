using System.Diagnostics.Metrics;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Tests.Replicas;

public sealed class ReplicaMetricsTests
{
    [Fact]
    public void Observe_ExitAndSpentBudget_AreCountedOnce()
    {
        var counts = new Dictionary<string, long>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, it) =>
        {
            if (instrument.Meter.Tags?.Any(tag => tag.Value is "metrics-test/0") == true)
            {
                it.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            var key = $"{instrument.Name} {tags.ToArray().FirstOrDefault(tag => tag.Key == "cause").Value}".TrimEnd();
            counts[key] = counts.GetValueOrDefault(key) + value;
        });
        listener.Start();
        using var metrics = new ReplicaMetrics("metrics-test/0", meters: null);
        Assert.Equal(0, counts["llmgateway_process_exits external_kill"]); // closed labels start at 0

        var before = new Replica();
        var after = before with { LastExit = new(null, 11, ExitCause.Crash, "", default, []), History = RestartHistory.Empty with { Exhausted = true } };
        metrics.Observe(before, after, default);
        metrics.Observe(after, after with { State = ReplicaState.Queued }, default);

        Assert.Equal((1, 1, 0), (counts["llmgateway_process_exits crash"], counts["llmgateway_restart_limit_hits"], counts["llmgateway_process_exits hung"]));
    }

    [Fact]
    public void Names_AllStatesAndCauses_AreTheContracts()
    {
        Assert.Equal(
            "stopped queued starting loading warming ready busy not_ready draining stopping killing stuck backoff failed",
            string.Join(' ', Enum.GetValues<ReplicaState>().Select(Names.Of)));
        Assert.Equal(
            "requested crash oom vram external_kill unexpected_exit port_conflict model_invalid wrong_build permanent_config start_timeout hung",
            string.Join(' ', Enum.GetValues<ExitCause>().Select(Names.Of)));
    }
}
