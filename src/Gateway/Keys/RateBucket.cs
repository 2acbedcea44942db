namespace LlmGateway.Gateway.Keys;

/// <summary>So much a minute, evenly: what is reserved is settled later, and what came to nothing is given back. Values in, values out.</summary>
/// <remarks>
/// The package's TokenBucketRateLimiter takes nothing back and can't go into debt, and an answer's tokens are known only at its end. Hence this.
/// </remarks>
internal struct RateBucket
{
    private readonly double _most;
    private double _level;
    private TimeSpan _at;

    /// <param name="perMinute">What flows in each minute, and what it holds.</param>
    /// <param name="now">Time since whenever; never falls.</param>
    public RateBucket(double perMinute, TimeSpan now) => (_most, _level, _at) = (perMinute, perMinute, now);

    /// <summary>What may be taken now; below zero after answers that were longer than was reserved for them.</summary>
    public double Level(TimeSpan now)
    {
        _level = Math.Min(_most, _level + ((now - _at).TotalMinutes * _most));
        _at = now;
        return _level;
    }

    /// <summary>How long until so much may be taken; zero when it may be now. What is more than a whole minute's may be taken when the bucket is full.</summary>
    public TimeSpan Wait(double amount, TimeSpan now)
    {
        var missing = Math.Min(amount, _most) - Level(now);
        return missing <= 1e-9 ? TimeSpan.Zero : TimeSpan.FromMinutes(missing / _most);
    }

    /// <summary>Takes so much; a negative amount gives it back.</summary>
    public void Take(double amount, TimeSpan now) => _level = Math.Min(_most, Level(now) - amount);
}
