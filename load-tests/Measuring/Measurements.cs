using System.Collections.Immutable;
using System.Diagnostics;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Measuring;

/// <summary>Takes in the findings of a run from many threads: a shard for each core, each under its own short lock, added up at the end.</summary>
internal sealed class Measurements
{
    private const int MostIntervals = 600;
    private const int MostReasons = 64;

    private readonly Scenario _scenario;
    private readonly long _origin;
    private readonly TimeSpan[] _stageEnds;
    private readonly Shard[] _shards;
    private readonly Dictionary<(Outcome, string), long> _reasons = [];

    /// <param name="scenario">What is run.</param>
    /// <param name="origin">Timestamp of the run's beginning.</param>
    public Measurements(Scenario scenario, long origin)
    {
        (_scenario, _origin) = (scenario, origin);
        var end = TimeSpan.Zero;
        _stageEnds = [.. scenario.Stages.Select(stage => end += stage.Duration)];
        Interval = TimeSpan.FromSeconds(Math.Max(1, Math.Ceiling(scenario.Duration.TotalSeconds / MostIntervals)));
        var intervals = (int)Math.Ceiling((scenario.Duration + scenario.Patience) / Interval) + 1;
        _shards = [.. Enumerable.Range(0, Math.Min(16, Environment.ProcessorCount)).Select(_ => new Shard(scenario.Stages.Length, intervals, scenario.Mix.Keys.Length))];
    }

    /// <summary>Width of an interval.</summary>
    public TimeSpan Interval { get; }

    /// <summary>Time left out of a stage's goodput at its beginning: it still shows the stage before.</summary>
    public static TimeSpan Settling(Stage stage) => TimeSpan.FromSeconds(Math.Min(1, stage.Duration.TotalSeconds / 10));

    /// <summary>Takes in a request that has ended.</summary>
    public void Record(RequestRecord request)
    {
        var start = Stopwatch.GetElapsedTime(_origin, request.IntendedStart);
        var end = Stopwatch.GetElapsedTime(_origin, request.End);
        var (startStage, endStage) = (StageAt(start), StageAt(end));
        var shard = _shards[(uint)Environment.CurrentManagedThreadId % (uint)_shards.Length];
        lock (shard.Lock)
        {
            shard.Stages[Math.Min(startStage, _stageEnds.Length - 1)].Record(request);
            if (request.Outcome == Outcome.Ok && endStage < _stageEnds.Length && end - StageStart(endStage) >= Settling(_scenario.Stages[endStage]))
            {
                shard.Stages[endStage].Good++;
            }

            if (request.Key is { } key)
            {
                shard.Keys[key].Record(request);
            }

            var interval = shard.IntervalAt(start, Interval);
            interval.Arrivals++;
            shard.IntervalAt(end, Interval).Ended[(int)request.Outcome]++;
            if (request.FirstToken > 0)
            {
                interval.FirstToken.RecordTicks(request.FirstToken - request.IntendedStart);
            }

            if (request.Outcome == Outcome.Ok)
            {
                interval.Total.RecordTicks(request.End - request.IntendedStart);
            }
        }

        if (request.Outcome != Outcome.Ok && request.Reason is { } reason)
        {
            lock (_reasons)
            {
                var key = _reasons.Count < MostReasons || _reasons.ContainsKey((request.Outcome, reason)) ? (request.Outcome, reason) : (request.Outcome, "other");
                _reasons[key] = _reasons.GetValueOrDefault(key) + 1;
            }
        }
    }

    /// <summary>All of the run so far.</summary>
    public Tally Whole()
    {
        var whole = new Tally();
        foreach (var stage in Stages())
        {
            whole.Add(stage);
        }

        return whole;
    }

    /// <summary>Each stage so far.</summary>
    public ImmutableArray<Tally> Stages() => Sum(_scenario.Stages.Length, static () => new Tally(), static shard => shard.Stages, static (sum, part) => sum.Add(part));

    /// <summary>Each API key of the mix so far, over all stages.</summary>
    public ImmutableArray<Tally> Keys() => Sum(_scenario.Mix.Keys.Length, static () => new Tally(), static shard => shard.Keys, static (sum, part) => sum.Add(part));

    /// <summary>Each interval so far; the empty ones at the end are left out.</summary>
    public ImmutableArray<IntervalTally> Intervals()
    {
        var all = Sum(_shards[0].Intervals.Length, static () => new IntervalTally(), static shard => shard.Intervals, static (sum, part) => sum.Add(part));
        var last = all.Length;
        while (last > 0 && all[last - 1].Arrivals == 0 && all[last - 1].Ended.All(static count => count == 0))
        {
            last--;
        }

        return all[..last];
    }

    /// <summary>One word more about what was not ok, and how often.</summary>
    public ImmutableArray<(Outcome Outcome, string Reason, long Count)> Reasons()
    {
        lock (_reasons)
        {
            return [.. _reasons.OrderByDescending(static pair => pair.Value).Select(static pair => (pair.Key.Item1, pair.Key.Item2, pair.Value))];
        }
    }

    /// <summary>Requests that have ended, by outcome: cheap enough for a progress line.</summary>
    public long[] Ended()
    {
        var ended = new long[OutcomeExtensions.Count];
        foreach (var shard in _shards)
        {
            lock (shard.Lock)
            {
                foreach (var stage in shard.Stages)
                {
                    for (var i = 0; i < ended.Length; i++)
                    {
                        ended[i] += stage.Outcomes[i];
                    }
                }
            }
        }

        return ended;
    }

    private int StageAt(TimeSpan time)
    {
        var stage = 0;
        while (stage < _stageEnds.Length && time >= _stageEnds[stage])
        {
            stage++;
        }

        return stage;
    }

    private TimeSpan StageStart(int stage) => stage == 0 ? TimeSpan.Zero : _stageEnds[stage - 1];

    private ImmutableArray<T> Sum<T>(int count, Func<T> create, Func<Shard, T[]> parts, Action<T, T> add)
    {
        var sums = Enumerable.Range(0, count).Select(_ => create()).ToArray();
        foreach (var shard in _shards)
        {
            lock (shard.Lock)
            {
                foreach (var (sum, part) in sums.Zip(parts(shard)))
                {
                    add(sum, part);
                }
            }
        }

        return [.. sums];
    }

    private sealed class Shard(int stages, int intervals, int keys)
    {
        public Lock Lock { get; } = new();

        public Tally[] Stages { get; } = [.. Enumerable.Range(0, stages).Select(_ => new Tally())];

        public Tally[] Keys { get; } = [.. Enumerable.Range(0, keys).Select(_ => new Tally())];

        public IntervalTally[] Intervals { get; } = [.. Enumerable.Range(0, intervals).Select(_ => new IntervalTally())];

        public IntervalTally IntervalAt(TimeSpan time, TimeSpan width) => Intervals[Math.Clamp((int)(time / width), 0, Intervals.Length - 1)];
    }
}
