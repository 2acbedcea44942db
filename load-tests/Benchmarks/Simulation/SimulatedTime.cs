namespace LlmGateway.Benchmarks.Simulation;

/// <summary>Discrete-event time: nothing waits, and what is due next happens next. One thread does everything, so a seed repeats a run exactly.</summary>
/// <remarks>
/// Real code runs on it: timers come from this <see cref="TimeProvider"/>, and what follows an <c>await</c> is posted to this context's own queue, which is
/// empty before time moves on.
/// </remarks>
internal sealed class SimulatedTime : TimeProvider, IDisposable
{
    private readonly PriorityQueue<(Timer Timer, int Version), (long Due, long Number)> _due = new();
    private readonly Loop _loop = new();
    private readonly SynchronizationContext? _outer = SynchronizationContext.Current;
    private long _now;
    private long _number;

    public SimulatedTime() => SynchronizationContext.SetSynchronizationContext(_loop);

    /// <summary>Since the beginning.</summary>
    public TimeSpan Now => new(_now);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _now;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch + Now;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Runs all that happens up to a time; what is due later stays.</summary>
    public void RunUntil(TimeSpan end)
    {
        _loop.RunPosted();
        while (_due.TryPeek(out var next, out var key) && key.Due <= end.Ticks)
        {
            _due.Dequeue();
            if (next.Timer.Take(next.Version))
            {
                _now = Math.Max(_now, key.Due);
                next.Timer.Fire();
                _loop.RunPosted();
            }
        }

        _now = end.Ticks;
    }

    public void Dispose() => SynchronizationContext.SetSynchronizationContext(_outer);

    private sealed class Timer(SimulatedTime time, TimerCallback callback, object? state) : ITimer
    {
        private int _version;
        private TimeSpan _period;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            _version++;
            _period = period;
            if (dueTime != Timeout.InfiniteTimeSpan)
            {
                time._due.Enqueue((this, _version), (time._now + Math.Max(0, dueTime.Ticks), time._number++));
            }

            return true;
        }

        /// <summary>True when it has not been changed or disposed since it was set.</summary>
        public bool Take(int version)
        {
            if (version != _version)
            {
                return false;
            }

            if (_period > TimeSpan.Zero)
            {
                Change(_period, _period);
            }

            return true;
        }

        public void Fire() => callback(state);

        public void Dispose() => _version++;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }

    /// <summary>Keeps what is to run next, in order. A completion that insists on another thread would break the run, so it throws.</summary>
    private sealed class Loop : SynchronizationContext
    {
        private readonly Queue<(SendOrPostCallback Callback, object? State)> _posted = new();
        private readonly int _thread = Environment.CurrentManagedThreadId;

        public override void Post(SendOrPostCallback d, object? state)
        {
            if (Environment.CurrentManagedThreadId != _thread)
            {
                throw new InvalidOperationException("A simulated run has left its thread: its order would no longer follow from the seed.");
            }

            _posted.Enqueue((d, state));
        }

        public override SynchronizationContext CreateCopy() => this;

        public void RunPosted()
        {
            while (_posted.TryDequeue(out var next))
            {
                next.Callback(next.State);
            }
        }
    }
}
