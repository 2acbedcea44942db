namespace LlmGateway.LoadTests.Client;

/// <summary>How a request ended. Each ends in exactly one.</summary>
internal enum Outcome
{
    /// <summary>Answered, whole.</summary>
    Ok,

    /// <summary>429 that says when to come again.</summary>
    Refused429,

    /// <summary>429 without Retry-After.</summary>
    Refused429Bare,

    /// <summary>503 that says when to come again.</summary>
    Refused503,

    /// <summary>503 without Retry-After.</summary>
    Refused503Bare,

    /// <summary>Left as the scenario wants it.</summary>
    Left,

    /// <summary>A stream with an error event, without its end, or with half an event.</summary>
    BrokenStream,

    /// <summary>A chunk was lost, came twice, or is not of this answer.</summary>
    WrongText,

    /// <summary>Anything else that is no answer: a status, a connection, a body.</summary>
    Error,

    /// <summary>The client lost patience.</summary>
    ClientTimeout,

    /// <summary>Never sent, for the tester had too many in flight: the run says nothing about the server.</summary>
    NotSent,
}

internal static class OutcomeExtensions
{
    public static readonly int Count = Enum.GetValues<Outcome>().Length;

    private static readonly string[] Labels =
    [
        "ok", "refused_429", "refused_429_bare", "refused_503", "refused_503_bare", "left", "broken_stream", "wrong_text", "error", "client_timeout", "not_sent",
    ];

    public static string ToLabel(this Outcome outcome) => Labels[(int)outcome];

    public static bool IsRefusal(this Outcome outcome) => outcome is >= Outcome.Refused429 and <= Outcome.Refused503Bare;

    /// <summary>Not an answer, not an honest refusal, not as planned.</summary>
    public static bool IsError(this Outcome outcome) => outcome >= Outcome.BrokenStream;
}

/// <summary>What became of one request. Times are <see cref="System.Diagnostics.Stopwatch"/> timestamps.</summary>
internal sealed class RequestRecord
{
    private long[] _gaps = [];

    /// <summary>When the schedule wanted it sent: latency counts from here.</summary>
    public required long IntendedStart { get; init; }

    /// <summary>When it was really sent.</summary>
    public long Sent { get; set; }

    /// <summary>First event with data; 0 when there was none. Streams only.</summary>
    public long FirstToken { get; set; }

    public long End { get; set; }

    public Outcome Outcome { get; set; } = Outcome.Error;

    /// <summary>One short word more about an outcome that is not ok.</summary>
    public string? Reason { get; set; }

    public bool IsStream { get; set; }

    /// <summary>Place of its API key among the mix's; null when it sent none.</summary>
    public int? Key { get; set; }

    public int Tokens { get; set; }

    public long Bytes { get; set; }

    /// <summary>What <c>x-llmgateway-queue-ms</c> says.</summary>
    public double? QueueMilliseconds { get; set; }

    /// <summary>The answer's text was held against what the simulator must have said.</summary>
    public bool IsTextChecked { get; set; }

    /// <summary>Times between tokens that came.</summary>
    public ReadOnlySpan<long> Gaps => _gaps.AsSpan(0, GapCount);

    private int GapCount { get; set; }

    public void AddGap(long gap)
    {
        if (GapCount == _gaps.Length)
        {
            Array.Resize(ref _gaps, Math.Max(32, _gaps.Length * 2));
        }

        _gaps[GapCount++] = gap;
    }
}
