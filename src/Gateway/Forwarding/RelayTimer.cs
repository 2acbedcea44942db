namespace LlmGateway.Gateway.Forwarding;

/// <summary>How long one attempt may wait for its backend: up to the first token, between tokens, in all.</summary>
/// <remarks>It runs only while the backend is waited for, so a slow client never counts against the backend.</remarks>
internal sealed class RelayTimer : IDisposable
{
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _expired;
    private readonly CancellationTokenSource _any;
    private readonly long _startedAt;
    private readonly TimeSpan _total;
    private readonly TimeSpan? _betweenTokens;
    private bool _isStarted;
    private long _waitingSince;
    private TimeSpan _waited;

    /// <param name="time">The clock.</param>
    /// <param name="firstToken">From now to the first token; null for an answer that is no stream.</param>
    /// <param name="betweenTokens">Between two tokens; null for an answer that is no stream.</param>
    /// <param name="total">From now to the end.</param>
    /// <param name="gone">The backend's end.</param>
    /// <param name="aborted">The client's leaving.</param>
    public RelayTimer(
        TimeProvider time, TimeSpan? firstToken, TimeSpan? betweenTokens, TimeSpan total, CancellationToken gone, CancellationToken aborted)
    {
        (_time, _betweenTokens, _total) = (time, betweenTokens, total);
        _startedAt = time.GetTimestamp();
        _expired = new CancellationTokenSource(firstToken is { } first && first < total ? first : total, time);
        _any = CancellationTokenSource.CreateLinkedTokenSource(gone, _expired.Token, aborted);
    }

    /// <summary>Cancelled when the time is over, the backend gone or the client away.</summary>
    public CancellationToken Token => _any.Token;

    public bool HasExpired => _expired.IsCancellationRequested;

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
            var left = _total - _time.GetElapsedTime(_startedAt);
            left = atMost < left ? atMost.Value : left;
            // What is no token (a comment, half an event) ends one wait, but not the count.
            var limit = _betweenTokens - _waited is { } between && between < left ? between : left;
            _waitingSince = _time.GetTimestamp();
            _expired.CancelAfter(limit > TimeSpan.Zero ? limit : TimeSpan.Zero);
        }

        return new Wait(this);
    }

    public void Dispose()
    {
        _any.Dispose();
        _expired.Dispose();
    }

    /// <summary>One wait; ends when disposed.</summary>
    public readonly struct Wait(RelayTimer timer) : IDisposable
    {
        public void Dispose()
        {
            if (timer._isStarted)
            {
                timer._waited += timer._time.GetElapsedTime(timer._waitingSince);
                timer._expired.CancelAfter(Timeout.InfiniteTimeSpan);
            }
        }
    }
}
