using System.Diagnostics;
using HdrHistogram;

namespace LlmGateway.LoadTests.Measuring;

/// <summary>A distribution of durations, in microseconds up to an hour. Not thread-safe; distributions of parts add up exactly to that of the whole.</summary>
internal sealed class Latencies(int digits = 3)
{
    private const long Longest = 3_600_000_000;

    private readonly LongHistogram _histogram = new(1, Longest, digits);
    private double _sum;

    public long Count => _histogram.TotalCount;

    /// <param name="elapsed">In <see cref="Stopwatch"/> ticks; what is below 0 counts as 0.</param>
    public void RecordTicks(long elapsed) => RecordMicroseconds(elapsed / (Stopwatch.Frequency / 1_000_000.0));

    public void RecordMicroseconds(double value)
    {
        var bounded = Math.Clamp(value, 0, Longest);
        _histogram.RecordValue((long)bounded);
        _sum += bounded;
    }

    public void Add(Latencies other)
    {
        if (other.Count > 0)
        {
            _histogram.Add(other._histogram);
            _sum += other._sum;
        }
    }

    /// <summary>The value, in milliseconds, that so many percent stay at or below; null when nothing was recorded.</summary>
    public double? Percentile(double percent) => Count == 0 ? null : _histogram.GetValueAtPercentile(percent) / 1000.0;

    public LatencySummary? Summary() => Count == 0
        ? null
        : new LatencySummary(
            Count, _sum / Count / 1000, Percentile(50)!.Value, Percentile(90)!.Value, Percentile(99)!.Value, Percentile(99.9)!.Value, Percentile(100)!.Value);

    /// <summary>How many fell between marks spaced evenly on a logarithmic scale; empty ones at both ends are left out.</summary>
    public IReadOnlyList<LatencyBar> Bars(int perDecade = 20)
    {
        var counts = new SortedDictionary<int, long>();
        foreach (var value in _histogram.RecordedValues())
        {
            var mark = (int)Math.Floor(Math.Log10(Math.Max(1, value.ValueIteratedTo)) * perDecade);
            counts[mark] = counts.GetValueOrDefault(mark) + value.CountAddedInThisIterationStep;
        }

        return counts.Count == 0
            ? []
            : [.. Enumerable.Range(counts.Keys.First(), counts.Keys.Last() - counts.Keys.First() + 1)
                .Select(mark => new LatencyBar(At(mark), At(mark + 1), counts.GetValueOrDefault(mark)))];

        double At(int mark) => Math.Round(Math.Pow(10, (double)mark / perDecade) / 1000, 6);
    }
}

/// <summary>A distribution in a few numbers, in milliseconds.</summary>
internal sealed record LatencySummary(long Count, double Mean, double P50, double P90, double P99, double P999, double Max);

/// <summary>A bar of a histogram: between two durations, in milliseconds.</summary>
internal sealed record LatencyBar(double From, double To, long Count);
