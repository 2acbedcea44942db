using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Placement;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>The queue's and the slots' numbers.</summary>
internal sealed class SchedulingMetrics : IDisposable
{
    public const string MeterName = "LlmGateway.Scheduling";

    /// <summary>Why the queue refuses.</summary>
    private static readonly string[] Reasons =
        ["queue_full", "queue_timeout", "deadline_unreachable", "rate_limited", "concurrency_limited", "no_backend", "model_loading_failed", "insufficient_memory"];

    /// <summary>All steps that a breaker can take.</summary>
    private static readonly BreakerChange[] Steps =
    [
        new(BreakerState.Closed, BreakerState.Open, BreakerReason.Faults),
        new(BreakerState.Closed, BreakerState.Open, BreakerReason.Exit),
        new(BreakerState.HalfOpen, BreakerState.Open, BreakerReason.Exit),
        new(BreakerState.HalfOpen, BreakerState.Open, BreakerReason.TrialFailed),
        new(BreakerState.Open, BreakerState.HalfOpen, BreakerReason.Ready),
        new(BreakerState.Open, BreakerState.HalfOpen, BreakerReason.Waited),
        new(BreakerState.Open, BreakerState.HalfOpen, BreakerReason.Last),
        new(BreakerState.HalfOpen, BreakerState.Closed, BreakerReason.TrialPassed),
    ];

    private readonly Meter _meter;
    private readonly SubjectMeters<ModelInstruments> _models;

    public SchedulingMetrics(IMeterFactory meters)
    {
        _meter = meters.Create(MeterName);
        _models = new(meters, MeterName, (meter, model) => new(meter, model));
    }

    public void Waited(string model, Priority priority, string outcome, TimeSpan wait) =>
        _models.For(model).Wait.Record(wait.TotalSeconds, new("model", model), new("priority", priority.ToLabel()), new("outcome", outcome));

    /// <param name="model">The model.</param>
    /// <param name="error">What a wait took more, or less, than was foretold.</param>
    public void Foretold(string model, TimeSpan error) => _models.For(model).Foretold.Record(Math.Abs(error.TotalSeconds), new KeyValuePair<string, object?>("model", model));

    /// <summary>A request goes back to its place in the queue.</summary>
    public void Retried(string model, RetryReason reason) => _models.For(model).Retries.Add(1, new("model", model), new("reason", SchedulingNews.Label(reason)));

    public void Rejected(string model, string reason) => _models.For(model).Rejected.Add(1, new("model", model), new("reason", reason));

    /// <summary>Begins to export the numbers that are read off the scheduler.</summary>
    public void Observe(Scheduler scheduler)
    {
        Known(scheduler);
        _meter.CreateObservableGauge("llmgateway_queue_depth", () => Bands(Known(scheduler), (_, band) => band.Depth), description: "Requests that wait.");
        _meter.CreateObservableGauge("llmgateway_queue_limit", () => Bands(scheduler.Statuses(), (queue, _) => queue.Limit), description: "Most requests that may wait, all bands together.");
        _meter.CreateObservableGauge("llmgateway_queue_bytes", () => Bands(scheduler.Statuses(), (_, band) => band.Bytes), description: "Bytes of the bodies that wait.");
        _meter.CreateObservableGauge(
            "llmgateway_queue_oldest_age_seconds", () => Bands(scheduler.Statuses(), (_, band) => band.OldestAge.TotalSeconds), description: "How long the first in line has waited.");
        _meter.CreateObservableGauge("llmgateway_breaker_state", () => Breakers(scheduler, static breaker => [new(Level(breaker.State), Backend(breaker))]), description: "0 closed, 1 half-open, 2 open.");
        _meter.CreateObservableCounter("llmgateway_breaker_transitions", () => Breakers(scheduler, Transitions), description: "Steps of breakers.");
        _meter.CreateObservableCounter("llmgateway_upstream_outcomes", () => Breakers(scheduler, Outcomes), description: "Uses of backends by what they say about the backend.");
        _meter.CreateObservableGauge("llmgateway_backend_saturated_slots", () => Breakers(scheduler, static breaker => [new(breaker.SaturatedSlots, Backend(breaker))]), description: "Slots that are left empty because the backend bears no more.");
        _meter.CreateObservableCounter("llmgateway_affinity", () => Affinities(scheduler), description: "Requests by whether they went where their prompt's beginning had been read.");
        _meter.CreateObservableGauge("llmgateway_backend_slots", () => Slots(scheduler), description: "Slots by what they are doing.");
    }

    public void Dispose() => _models.Dispose();

    /// <summary>The statuses of all queues, looked at with each scrape: what belongs to a model that has left goes with it.</summary>
    private ImmutableArray<QueueStatus> Known(Scheduler scheduler)
    {
        var statuses = scheduler.Statuses();
        var names = statuses.Select(status => status.Model).ToHashSet(StringComparer.Ordinal);
        _models.KeepOnly(names.Contains);
        foreach (var name in names)
        {
            // All its zeros are there before its first request.
            _models.For(name);
        }

        return statuses;
    }

    private static IEnumerable<Measurement<double>> Bands(ImmutableArray<QueueStatus> statuses, Func<QueueStatus, BandStatus, double> value) =>
        from queue in statuses
        from band in queue.Bands
        select new Measurement<double>(value(queue, band), new("model", queue.Model), new("priority", band.Priority.ToLabel()));

    private static IEnumerable<Measurement<long>> Slots(Scheduler scheduler) =>
        from queue in scheduler.Statuses()
        from slots in queue.Slots
        from part in new[] { ("busy", slots.Busy), ("quarantined", slots.Quarantined), ("free", Math.Max(0, slots.Total - slots.Busy - slots.Quarantined)) }
        select new Measurement<long>(part.Item2, new("backend", slots.Backend), new("state", part.Item1));

    private static IEnumerable<Measurement<long>> Affinities(Scheduler scheduler) =>
        from queue in scheduler.Statuses()
        from result in Enum.GetValues<AffinityResult>()
        where !queue.Affinity.IsEmpty
        select new Measurement<long>(queue.Affinity[(int)result], new("model", queue.Model), new("result", SchedulingNews.Label(result)));

    private static IEnumerable<Measurement<long>> Breakers(Scheduler scheduler, Func<BreakerStatus, IEnumerable<Measurement<long>>> values) =>
        scheduler.Statuses().SelectMany(queue => queue.Breakers).SelectMany(values);

    private static IEnumerable<Measurement<long>> Transitions(BreakerStatus breaker) =>
        from step in Steps
        select new Measurement<long>(
            breaker.Changes.GetValueOrDefault(step),
            Backend(breaker),
            new("from", SchedulingNews.Label(step.From)),
            new("to", SchedulingNews.Label(step.To)),
            new("reason", SchedulingNews.Label(step.Reason)));

    private static IEnumerable<Measurement<long>> Outcomes(BreakerStatus breaker) =>
        Enum.GetValues<UpstreamOutcome>().Select(outcome => new Measurement<long>(breaker.Outcomes[(int)outcome], Backend(breaker), new("class", SchedulingNews.Label(outcome))));

    private static KeyValuePair<string, object?> Backend(BreakerStatus breaker) => new("backend", breaker.Backend);

    private static long Level(BreakerState state) => state switch
    {
        BreakerState.Closed => 0,
        BreakerState.HalfOpen => 1,
        _ => 2,
    };

    /// <summary>The instruments of one model.</summary>
    private sealed class ModelInstruments
    {
        public ModelInstruments(Meter meter, string model)
        {
            Wait = meter.CreateHistogram(
                "llmgateway_queue_wait",
                "s",
                "Time that requests waited for a slot.",
                tags: null,
                new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300] });
            Foretold = meter.CreateHistogram(
                "llmgateway_predicted_wait_error",
                "s",
                "By how much waits differed from what was foretold when they began.",
                tags: null,
                new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] });
            Rejected = meter.CreateCounter<long>("llmgateway_rejected", description: "Requests refused by the queue.");
            Retries = meter.CreateCounter<long>("llmgateway_retries", description: "Requests that went back to their place in the queue before their first byte.");
            foreach (var reason in Enum.GetValues<RetryReason>())
            {
                Retries.Add(0, new("model", model), new("reason", SchedulingNews.Label(reason)));
            }

            foreach (var reason in Reasons)
            {
                Rejected.Add(0, new("model", model), new("reason", reason));
            }
        }

        public Histogram<double> Wait { get; }

        public Histogram<double> Foretold { get; }

        public Counter<long> Retries { get; }

        public Counter<long> Rejected { get; }
    }
}
