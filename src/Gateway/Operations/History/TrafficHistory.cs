using System.Collections.Concurrent;
using System.Collections.Immutable;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Operations.History;

/// <summary>First tokens and token rates of the last quarter of an hour, by model and by backend. Bounded: one ring each, for those that exist.</summary>
internal sealed class TrafficHistory : IDisposable
{
    private readonly ConcurrentDictionary<string, Series> _series = new(StringComparer.Ordinal);
    private readonly RequestLedger _ledger;
    private readonly TimeProvider _time;

    public TrafficHistory(RequestLedger ledger, TimeProvider time)
    {
        (_ledger, _time) = (ledger, time);
        ledger.Ended += Add;
    }

    public void Dispose() => _ledger.Ended -= Add;

    /// <summary>The series of a model (its name) or of a backend (<c>model/0</c>); null when nothing was asked of it lately.</summary>
    public TrafficReport? Report(string name)
    {
        if (!_series.TryGetValue(name, out var series))
        {
            return null;
        }

        TrafficStep[] steps;
        lock (series)
        {
            steps = series.Ring.Read(Now);
        }

        return steps.All(step => step == default) ? null : new TrafficReport(
            [.. steps.Select(step => step.FirstTokens == 0 ? (double?)null : Math.Round(step.FirstTokenSum / step.FirstTokens))],
            [.. steps.Select(step => Math.Round(step.Tokens / TimeRing<TrafficStep>.Step.TotalSeconds, 1))],
            [.. steps.Select(step => step.Requests)],
            [.. steps.Select(step => step.Failures)]);
    }

    /// <summary>When something last came from a backend, or was asked of it; null when never.</summary>
    public DateTimeOffset? LastUsedAt(string backend) => _series.TryGetValue(backend, out var series) ? series.LastUsedAt : null;

    /// <summary>Forgets those that are no more.</summary>
    public void Keep(IReadOnlySet<string> names)
    {
        foreach (var name in _series.Keys.Where(name => !names.Contains(name)))
        {
            _series.TryRemove(name, out _);
        }
    }

    private long Now => TimeRing<TrafficStep>.StepOf(_time.GetUtcNow());

    /// <summary>Counts what has come of the answers that are under way: to be called once a step or more.</summary>
    public void Look()
    {
        foreach (var progress in _ledger.Open)
        {
            var facts = progress.Facts;
            if (facts is { Stream: true, Backend: { } backend } && progress.Take() is var pieces and > 0)
            {
                Count(facts.Model, Now, new() { Tokens = pieces });
                Count(backend, Now, new() { Tokens = pieces });
            }
        }
    }

    private void Add(RequestFacts facts, int taken)
    {
        Add(facts.Model, facts, taken);
        if (facts.Backend is { } backend)
        {
            Add(backend, facts, taken);
        }
    }

    private void Add(string name, RequestFacts facts, int taken)
    {
        var isFailure = facts.Outcome is not (RequestOutcome.Ok or RequestOutcome.ClientError or RequestOutcome.CancelledInFlight or RequestOutcome.CancelledQueued);
        var now = Now;

        // A stream's tokens were counted as they came, but for the last ones. An answer in one piece came over all the time since its grant.
        var tokens = Math.Max(0, (facts.CompletionTokens ?? 0) - taken);
        var begin = facts.Stream ? now : Math.Clamp(TimeRing<TrafficStep>.StepOf(facts.ArrivedAt + facts.Waited), now - TimeRing<TrafficStep>.Steps + 1, now);
        var share = (double)tokens / (now - begin + 1);
        Count(name, now, new(1, isFailure ? 1 : 0, 0, 0, share));
        for (var at = begin; share > 0 && at < now; at++)
        {
            Count(name, at, new() { Tokens = share });
        }

        if (facts.Stream && facts.FirstToken is { } firstToken)
        {
            Count(name, TimeRing<TrafficStep>.StepOf(facts.ArrivedAt + firstToken), new() { FirstTokens = 1, FirstTokenSum = firstToken.TotalMilliseconds });
        }
    }

    private void Count(string name, long step, TrafficStep more)
    {
        var series = _series.GetOrAdd(name, static _ => new Series());
        lock (series)
        {
            series.Ring.Change(step, Now, more, static (value, more) => value + more);
            series.LastUsedAt = _time.GetUtcNow();
        }
    }

    private sealed class Series
    {
        private long _lastUsedAt;

        public TimeRing<TrafficStep> Ring { get; } = new();

        // Read without the lock.
        public DateTimeOffset LastUsedAt
        {
            get => new(Volatile.Read(ref _lastUsedAt), TimeSpan.Zero);
            set => Volatile.Write(ref _lastUsedAt, value.UtcTicks);
        }
    }

    private readonly record struct TrafficStep(int Requests, int Failures, int FirstTokens, double FirstTokenSum, double Tokens)
    {
        public static TrafficStep operator +(TrafficStep one, TrafficStep other) => new(
            one.Requests + other.Requests, one.Failures + other.Failures, one.FirstTokens + other.FirstTokens, one.FirstTokenSum + other.FirstTokenSum, one.Tokens + other.Tokens);
    }
}

/// <summary>One value a step, oldest first: mean milliseconds to the first token (null: none came), tokens a second, requests that ended, and of these the failures.</summary>
internal sealed record TrafficReport(
    ImmutableArray<double?> FirstTokenMs, ImmutableArray<double> TokensPerSecond, ImmutableArray<int> Requests, ImmutableArray<int> Failures);
