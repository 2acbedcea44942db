using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>The queue's and the slots' numbers.</summary>
internal sealed class SchedulingMetrics
{
    public const string MeterName = "LlmGateway.Scheduling";

    private readonly Meter _meter;
    private readonly Histogram<double> _wait;
    private readonly Counter<long> _rejected;

    public SchedulingMetrics(IMeterFactory meters)
    {
        _meter = meters.Create(MeterName);
        _wait = _meter.CreateHistogram(
            "llmgateway_queue_wait",
            "s",
            "Time that requests waited for a slot.",
            tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300] });
        _rejected = _meter.CreateCounter<long>("llmgateway_rejected", description: "Requests refused by the queue.");
    }

    public void Waited(string model, Priority priority, string outcome, TimeSpan wait) =>
        _wait.Record(wait.TotalSeconds, new("model", model), new("priority", priority.ToLabel()), new("outcome", outcome));

    public void Rejected(string model, string reason) => _rejected.Add(1, new("model", model), new("reason", reason));

    /// <summary>Begins to export the numbers that are read off the scheduler.</summary>
    public void Observe(Scheduler scheduler)
    {
        _meter.CreateObservableGauge("llmgateway_queue_depth", () => Bands(scheduler, (_, band) => band.Depth), description: "Requests that wait.");
        _meter.CreateObservableGauge("llmgateway_queue_limit", () => Bands(scheduler, (queue, _) => queue.Limit), description: "Most requests that may wait, all bands together.");
        _meter.CreateObservableGauge("llmgateway_queue_bytes", () => Bands(scheduler, (_, band) => band.Bytes), description: "Bytes of the bodies that wait.");
        _meter.CreateObservableGauge(
            "llmgateway_queue_oldest_age_seconds", () => Bands(scheduler, (_, band) => band.OldestAge.TotalSeconds), description: "How long the first in line has waited.");
        _meter.CreateObservableGauge("llmgateway_backend_slots", () => Slots(scheduler), description: "Slots by what they are doing.");
    }

    private static IEnumerable<Measurement<double>> Bands(Scheduler scheduler, Func<QueueStatus, BandStatus, double> value) =>
        from queue in scheduler.Statuses()
        from band in queue.Bands
        select new Measurement<double>(value(queue, band), new("model", queue.Model), new("priority", band.Priority.ToLabel()));

    private static IEnumerable<Measurement<long>> Slots(Scheduler scheduler) =>
        from queue in scheduler.Statuses()
        from slots in queue.Slots
        from part in new[] { ("busy", slots.Busy), ("quarantined", slots.Quarantined), ("free", Math.Max(0, slots.Total - slots.Busy - slots.Quarantined)) }
        select new Measurement<long>(part.Item2, new("backend", slots.Backend), new("state", part.Item1));
}
