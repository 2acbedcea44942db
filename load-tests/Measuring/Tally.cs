using LlmGateway.LoadTests.Client;

namespace LlmGateway.LoadTests.Measuring;

/// <summary>What a stage has measured: sums and distributions that add up. Not thread-safe.</summary>
internal sealed class Tally
{
    /// <summary>By <see cref="Outcome"/>, of the requests that were meant to start in the stage.</summary>
    public long[] Outcomes { get; } = new long[OutcomeExtensions.Count];

    /// <summary>Requests ended ok within the stage's time, its first moments left out.</summary>
    public long Good { get; set; }

    public long Tokens { get; set; }

    public long Bytes { get; set; }

    /// <summary>Answers whose text was held against what the simulator must have said.</summary>
    public long TextsChecked { get; set; }

    /// <summary>Streams, to the first event with data.</summary>
    public Latencies FirstToken { get; } = new();

    /// <summary>Whole answers, to the last byte.</summary>
    public Latencies Total { get; } = new();

    public Latencies BetweenTokens { get; } = new();

    /// <summary>How long a refusal took.</summary>
    public Latencies Refusal { get; } = new();

    /// <summary>What the gateway says about its queue.</summary>
    public Latencies Queue { get; } = new();

    /// <summary>How late the tester itself sent: large when the tester is too slow for the load.</summary>
    public Latencies Lag { get; } = new();

    public void Record(RequestRecord request)
    {
        Outcomes[(int)request.Outcome]++;
        Tokens += request.Tokens;
        Bytes += request.Bytes;
        TextsChecked += request.IsTextChecked ? 1 : 0;
        if (request.Sent > 0)
        {
            Lag.RecordTicks(request.Sent - request.IntendedStart);
        }

        if (request.FirstToken > 0)
        {
            FirstToken.RecordTicks(request.FirstToken - request.IntendedStart);
        }

        if (request.Outcome == Outcome.Ok)
        {
            Total.RecordTicks(request.End - request.IntendedStart);
        }
        else if (request.Outcome.IsRefusal())
        {
            Refusal.RecordTicks(request.End - request.IntendedStart);
        }

        if (request.QueueMilliseconds is { } queue)
        {
            Queue.RecordMicroseconds(queue * 1000);
        }

        foreach (var gap in request.Gaps)
        {
            BetweenTokens.RecordTicks(gap);
        }
    }

    public void Add(Tally other)
    {
        for (var i = 0; i < Outcomes.Length; i++)
        {
            Outcomes[i] += other.Outcomes[i];
        }

        (Good, Tokens, Bytes, TextsChecked) = (Good + other.Good, Tokens + other.Tokens, Bytes + other.Bytes, TextsChecked + other.TextsChecked);
        FirstToken.Add(other.FirstToken);
        Total.Add(other.Total);
        BetweenTokens.Add(other.BetweenTokens);
        Refusal.Add(other.Refusal);
        Queue.Add(other.Queue);
        Lag.Add(other.Lag);
    }
}

/// <summary>A short interval of the run, for plots: coarser than a stage's distributions. Not thread-safe.</summary>
internal sealed class IntervalTally
{
    private Latencies? _firstToken;
    private Latencies? _total;

    /// <summary>Requests meant to start in it.</summary>
    public long Arrivals { get; set; }

    /// <summary>By <see cref="Outcome"/>, of the requests that ended in it.</summary>
    public long[] Ended { get; } = new long[OutcomeExtensions.Count];

    /// <summary>Of the requests meant to start in it.</summary>
    public Latencies FirstToken => _firstToken ??= new Latencies(digits: 2);

    /// <summary>Of the requests meant to start in it.</summary>
    public Latencies Total => _total ??= new Latencies(digits: 2);

    public void Add(IntervalTally other)
    {
        Arrivals += other.Arrivals;
        for (var i = 0; i < Ended.Length; i++)
        {
            Ended[i] += other.Ended[i];
        }

        if (other._firstToken is { } firstToken)
        {
            FirstToken.Add(firstToken);
        }

        if (other._total is { } total)
        {
            Total.Add(total);
        }
    }
}
