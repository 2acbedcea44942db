using System.Diagnostics.Metrics;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>One replica's numbers, on a meter of its own: disposed with the replica, it takes its series along.</summary>
internal sealed class ReplicaMetrics : IDisposable
{
    public const string MeterName = "LlmGateway.ProcessManager";

    private readonly string _name;
    private readonly Meter _meter;
    private readonly Counter<long> _exits;
    private readonly Counter<long> _restarts;
    private readonly Counter<long> _limitHits;
    private readonly Histogram<double> _start;
    private readonly KeyValuePair<string, object?> _backend;

    /// <param name="backend">Its name.</param>
    /// <param name="meters">Marks whose the meter is; null where nobody collects.</param>
    public ReplicaMetrics(string backend, IMeterFactory? meters)
    {
        _name = backend;
        _backend = new("backend", backend);
        _meter = new(new MeterOptions(MeterName) { Tags = [_backend], Scope = meters });
        _exits = _meter.CreateCounter<long>("llmgateway_process_exits", description: "Ended processes by our reading of why.");
        _restarts = _meter.CreateCounter<long>("llmgateway_process_restarts", description: "Restarts by how the process before had ended.");
        _limitHits = _meter.CreateCounter<long>("llmgateway_restart_limit_hits", description: "How often the restart budget was spent.");
        _start = _meter.CreateHistogram("llmgateway_process_start", "s", "From launch to ready.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600] });
        _limitHits.Add(0, _backend);
        foreach (var cause in Enum.GetValues<ExitCause>())
        {
            _exits.Add(0, _backend, new("cause", Names.Of(cause)));
            _restarts.Add(0, _backend, new("reason", Names.Of(cause)));
        }
    }

    public void Observe(Replica before, Replica after, DateTimeOffset now)
    {
        ReplicaTraces.Observe(_name, before, after, now);
        if (after.LastExit is { } exit && !ReferenceEquals(exit, before.LastExit))
        {
            _exits.Add(1, _backend, new("cause", Names.Of(exit.Cause)));
        }

        if (after.Restarts > before.Restarts)
        {
            _restarts.Add(1, _backend, new("reason", Names.Of(after.LastExit?.Cause ?? ExitCause.Requested)));
        }

        if (after.History.Exhausted && !before.History.Exhausted)
        {
            _limitHits.Add(1, _backend);
        }

        if (before.State is ReplicaState.Warming && after is { State: ReplicaState.Ready or ReplicaState.Draining, Process: { } process })
        {
            _start.Record((now - process.StartedAt).TotalSeconds, _backend);
        }
    }

    public void Dispose() => _meter.Dispose();
}
