namespace LlmGateway.Simulator.Engine;

/// <summary>The system's time with one-shot timers to the millisecond.</summary>
/// <remarks>
/// The runtime's own timers look at a clock that Linux advances every 4 ms: a service time of 200 ms would be 204, and eight slots would do 39 requests a
/// second instead of 40. Here one thread sleeps until the next timer is due. Callbacks run on the thread pool.
/// </remarks>
internal sealed class PreciseTime : TimeProvider
{
    // No Lock: the thread sleeps on it.
    private readonly object _gate = new();
    private readonly PriorityQueue<(OneShot Timer, long Version), long> _due = new();

    public PreciseTime() => new Thread(Run) { IsBackground = true, Name = "pace" }.Start();

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">A period is asked for.</exception>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new OneShot(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private void Run()
    {
        lock (_gate)
        {
            while (true)
            {
                Monitor.Wait(_gate, FireDue_NeedsLock());
            }
        }
    }

    /// <returns>Milliseconds until the next timer is due, or -1.</returns>
    private int FireDue_NeedsLock()
    {
        while (_due.TryPeek(out var next, out var at))
        {
            var left = GetElapsedTime(GetTimestamp(), at);
            if (next.Version == next.Timer.Version && left > TimeSpan.Zero)
            {
                return (int)Math.Min(Math.Ceiling(left.TotalMilliseconds), int.MaxValue);
            }

            _due.Dequeue();
            if (next.Version == next.Timer.Version)
            {
                ThreadPool.UnsafeQueueUserWorkItem(static timer => timer.Fire(), next.Timer, preferLocal: false);
            }
        }

        return Timeout.Infinite;
    }

    private sealed class OneShot(PreciseTime time, TimerCallback callback, object? state) : ITimer
    {
        /// <summary>Counts changes: what was asked before the last one is not done. Guarded by the gate.</summary>
        public long Version { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            if (period != Timeout.InfiniteTimeSpan && period != TimeSpan.Zero)
            {
                throw new NotSupportedException("These timers ring once.");
            }

            lock (time._gate)
            {
                Version++;
                if (dueTime != Timeout.InfiniteTimeSpan)
                {
                    time._due.Enqueue((this, Version), time.GetTimestamp() + (long)(dueTime.TotalSeconds * time.TimestampFrequency));
                    Monitor.Pulse(time._gate);
                }
            }

            return true;
        }

        public void Dispose() => Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
