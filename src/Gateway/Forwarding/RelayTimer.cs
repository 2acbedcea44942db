namespace LlmGateway.Gateway.Forwarding;

/// <summary>How long one attempt may wait for its backend: up to the first token, between tokens, in all.</summary>
/// <remarks>It runs only while the backend is waited for, so a slow client never counts against the backend.</remarks>
internal sealed class RelayTimer : IDisposable
{
    /// <summary>No deadline.</summary>
    private const long Never = long.MaxValue;

    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _over = new();
    private readonly CancellationTokenRegistration _gone;
    private readonly CancellationTokenRegistration _aborted;
    private readonly ITimer _timer;
    private readonly long _end;
    private readonly TimeSpan? _betweenTokens;
    private bool _isStarted;
    private long _waitingSince;
    private TimeSpan _waited;
    private long _deadline;
    private long _due;
    private int _isDisposed;

    /// <param name="time">The clock.</param>
    /// <param name="firstToken">From now to the first token; null for an answer that is no stream.</param>
    /// <param name="betweenTokens">Between two tokens; null for an answer that is no stream.</param>
    /// <param name="total">From now to the end.</param>
    /// <param name="gone">The backend's end.</param>
    /// <param name="aborted">The client's leaving.</param>
    public RelayTimer(
        TimeProvider time, TimeSpan? firstToken, TimeSpan? betweenTokens, TimeSpan total, CancellationToken gone, CancellationToken aborted)
    {
        (_time, _betweenTokens) = (time, betweenTokens);
        var now = time.GetTimestamp();
        _end = now + Ticks(total);
        _deadline = _due = firstToken is { } first && first < total ? now + Ticks(first) : _end;
        _timer = time.CreateTimer(static timer => ((RelayTimer)timer!).Look(), this, Span(_due - now), Timeout.InfiniteTimeSpan);
        _gone = gone.UnsafeRegister(static timer => ((RelayTimer)timer!).End(), this);
        _aborted = aborted.UnsafeRegister(static timer => ((RelayTimer)timer!).End(), this);
    }

    /// <summary>Cancelled when the time is over, the backend gone or the client away.</summary>
    public CancellationToken Token => _over.Token;

    public bool HasExpired { get; private set; }

    /// <summary>A token has come: from now on the time between tokens counts.</summary>
    public void Progressed()
    {
        _isStarted = true;
        (_waited, _waitingSince) = (TimeSpan.Zero, _time.GetTimestamp());
    }

    /// <summary>Begins to wait for the backend.</summary>
    /// <param name="atMost">Longest wait when it is shorter than what the options say, or null.</param>
    public Wait Begin(TimeSpan? atMost = null)
    {
        if (_isStarted)
        {
            _waitingSince = _time.GetTimestamp();
            // What is no token (a comment, half an event) ends one wait, but not the count.
            var deadline = _betweenTokens is { } between ? Math.Min(_end, _waitingSince + Ticks(between - _waited)) : _end;
            deadline = atMost is { } most ? Math.Min(deadline, _waitingSince + Ticks(most)) : deadline;

            // Seen by whoever looks, or what they have armed is seen here.
            Interlocked.Exchange(ref _deadline, deadline);
            if (deadline < Volatile.Read(ref _due))
            {
                Arm();
            }
        }

        return new Wait(this);
    }

    public void Dispose()
    {
        Volatile.Write(ref _isDisposed, 1);
        _gone.Unregister();
        _aborted.Unregister();
        _timer.Dispose();
    }

    /// <summary>The timer's own moment: most waits end long before, and it only looks again at the next one's deadline.</summary>
    private void Look()
    {
        if (_time.GetTimestamp() < Volatile.Read(ref _deadline))
        {
            Arm();
            return;
        }

        HasExpired = Volatile.Read(ref _isDisposed) == 0;
        End();
    }

    private void Arm()
    {
        lock (_timer)
        {
            do
            {
                // Nobody waits, and the end of all may be behind: whoever waits next arms it for that.
                var (now, deadline) = (_time.GetTimestamp(), Volatile.Read(ref _deadline));
                var due = deadline != Never ? deadline : now < _end ? _end : Never;
                Interlocked.Exchange(ref _due, due);
                _timer.Change(due == Never ? Timeout.InfiniteTimeSpan : Span(due - now), Timeout.InfiniteTimeSpan);
            }
            while (Volatile.Read(ref _deadline) < _due);
        }
    }

    private void End()
    {
        // Whoever has disposed this has an end of its own.
        if (Volatile.Read(ref _isDisposed) == 0)
        {
            _over.Cancel();
        }
    }

    private long Ticks(TimeSpan span) => (long)(Math.Max(span.TotalSeconds, 0) * _time.TimestampFrequency);

    /// <summary>In whole milliseconds upwards: a timer that comes too early would only come again.</summary>
    private TimeSpan Span(long ticks) => TimeSpan.FromMilliseconds(Math.Ceiling(Math.Max(ticks, 0) * 1000.0 / _time.TimestampFrequency));

    /// <summary>One wait; ends when disposed.</summary>
    public readonly struct Wait(RelayTimer timer) : IDisposable
    {
        public void Dispose()
        {
            if (timer._isStarted)
            {
                timer._waited += timer._time.GetElapsedTime(timer._waitingSince);
                Volatile.Write(ref timer._deadline, Never);
            }
        }
    }
}
