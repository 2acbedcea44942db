namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>How long a wait is likely to be, from how long slots have been held. Values in, values out; guarded by the queue's lock.</summary>
internal struct WaitEstimate
{
    private const double Weight = 0.1;

    /// <summary>Shortest and longest advice: clients ignore anything beyond.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    private double _meanHold;

    /// <summary>Takes the time for which a lease held its slots into the mean.</summary>
    public void Record(TimeSpan held) => _meanHold = _meanHold == 0 ? held.TotalSeconds : _meanHold + (Weight * (held.TotalSeconds - _meanHold));

    /// <summary>Expected wait behind <paramref name="ahead"/> requests on <paramref name="slots"/> slots.</summary>
    public readonly TimeSpan Behind(int ahead, int slots) => TimeSpan.FromSeconds(_meanHold * (ahead + 1) / Math.Max(1, slots));

    /// <summary>What to tell a refused client: the wait, ± 20 % so that the refused do not come back together, 1 to 30 s.</summary>
    /// <param name="wait">The expected wait.</param>
    /// <param name="random">0 to 1.</param>
    public static TimeSpan RetryAfter(TimeSpan wait, double random)
    {
        var jittered = wait * (0.8 + (0.4 * random));
        return jittered < Shortest ? Shortest : jittered > Longest ? Longest : jittered;
    }
}
