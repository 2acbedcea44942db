namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>What one model's servers were seen to do lately, and so what they are likely to do next. Values in, values out; guarded by the queue's lock.</summary>
internal struct ServiceEstimate()
{
    /// <summary>How far one observation moves a mean.</summary>
    private const double Pace = 0.1;

    /// <summary>Answers that must have been seen before anybody is refused for what they say.</summary>
    private const int Enough = 3;

    private Trend _hold;
    private Trend _firstToken;
    private int _seen;
    private double _lateness;

    /// <summary>Tokens of a prompt for each byte of a body.</summary>
    public double TokensPerByte { get; private set; } = 0.25;

    /// <summary>True when enough was seen to refuse by it.</summary>
    public readonly bool IsTrusted => _seen >= Enough;

    /// <summary>Seconds that waits lately lasted beyond what was foretold: the usual error, to be allowed for.</summary>
    public readonly double Lateness => _lateness;

    /// <summary>Seconds for which requests lately held their slots.</summary>
    public readonly double UsualHold => _hold.Mean;

    /// <summary>Seconds for which a request of that cost is likely to hold its slots.</summary>
    public readonly double Hold(double cost) => _hold.At(cost);

    /// <summary>Seconds from the grant to the first token, for a prompt of that many tokens that no cache holds.</summary>
    public readonly double FirstToken(double prompt) => _firstToken.At(prompt);

    public void Held(double cost, TimeSpan held)
    {
        _hold.Record(cost, held.TotalSeconds);
        _seen = Math.Min(_seen + 1, Enough);
    }

    public void TookToFirstToken(double prompt, TimeSpan after) => _firstToken.Record(prompt, after.TotalSeconds);

    public void Tokens(long prompt, int bytes) => TokensPerByte += prompt > 0 && bytes > 0 ? Pace * (((double)prompt / bytes) - TokensPerByte) : 0;

    /// <summary>Compares a wait with what was foretold about it.</summary>
    public void Waited(TimeSpan foretold, TimeSpan waited) => _lateness += Pace * (Math.Max(0, (waited - foretold).TotalSeconds) - _lateness);
}
