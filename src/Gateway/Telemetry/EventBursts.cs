namespace LlmGateway.Gateway.Telemetry;

/// <summary>Makes one event of many equal ones: the first is told at once, the others as a count when the burst pauses or has lasted a while.</summary>
internal sealed class EventBursts(EventFeed feed, TimeProvider time) : IDisposable
{
    /// <summary>How long equal ones are gathered.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    /// <summary>Bursts at once; past that, what is new is not told.</summary>
    private const int Most = 1_024;

    private readonly Lock _lock = new();
    private readonly Dictionary<(EventKind, string, string), Burst> _bursts = [];

    /// <summary>Counts one.</summary>
    /// <param name="kind">What kind of thing.</param>
    /// <param name="subject">What it happens to.</param>
    /// <param name="what">What happens, of a closed set, as a predicate: <c>requests are refused (queue_full)</c>.</param>
    /// <param name="level">How much it deserves a look.</param>
    public void Count(EventKind kind, string subject, string what, EventLevel level = EventLevel.Warning)
    {
        lock (_lock)
        {
            if (_bursts.TryGetValue((kind, subject, what), out var burst))
            {
                burst.Count++;
                return;
            }

            if (_bursts.Count >= Most)
            {
                return;
            }

            burst = new Burst();
            _bursts.Add((kind, subject, what), burst);
            burst.Timer = time.CreateTimer(_ => Settle(kind, subject, what, level), null, Window, Timeout.InfiniteTimeSpan);
        }

        feed.Publish(kind, subject, $"{subject}: {what}.", level);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (var burst in _bursts.Values)
            {
                burst.Timer?.Dispose();
            }

            _bursts.Clear();
        }
    }

    private void Settle(EventKind kind, string subject, string what, EventLevel level)
    {
        int more;
        lock (_lock)
        {
            if (!_bursts.TryGetValue((kind, subject, what), out var burst))
            {
                return;
            }

            (more, burst.Count) = (burst.Count, 0);
            if (more == 0)
            {
                burst.Timer?.Dispose();
                _bursts.Remove((kind, subject, what));
                return;
            }

            burst.Timer?.Change(Window, Timeout.InfiniteTimeSpan);
        }

        feed.Publish(kind, subject, $"{subject}: {what}, {more} more in {Window.TotalSeconds:0} s.", level);
    }

    private sealed class Burst
    {
        public int Count { get; set; }

        public ITimer? Timer { get; set; }
    }
}
