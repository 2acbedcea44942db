namespace LlmGateway.ProcessManager.Supervision;

/// <summary>A process that somebody has stopped (SIGSTOP): it is continued once, and given up when that does not help or does not last. A value: each look makes the next one. Pure.</summary>
internal readonly record struct StopNotes
{
    /// <summary>From the stop to SIGCONT, and from there to giving up.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Running for this long, a stop is forgotten: the next one gets its SIGCONT again.</summary>
    private static readonly TimeSpan Memory = TimeSpan.FromSeconds(30);

    /// <summary>Send SIGCONT now.</summary>
    public bool IsToContinue { get; private init; }

    /// <summary>It was continued, and is stopped still or again.</summary>
    public bool IsHopeless { get; private init; }

    private TimeSpan? Since { get; init; }

    private TimeSpan? ContinuedAt { get; init; }

    private TimeSpan RunsSince { get; init; }

    /// <summary>The first look, or the first one after a pause of our own.</summary>
    public static StopNotes Begin(bool isStopped, TimeSpan at) => new() { Since = isStopped ? at : null, RunsSince = at };

    public StopNotes Add(bool isStopped, TimeSpan at)
    {
        if (!isStopped)
        {
            var runsSince = Since is null ? RunsSince : at;
            return new() { RunsSince = runsSince, ContinuedAt = at - runsSince >= Memory ? null : ContinuedAt };
        }

        var since = Since ?? at;
        var isDue = at - since >= Patience;
        var isToContinue = isDue && ContinuedAt is null;
        return this with
        {
            Since = since,
            IsToContinue = isToContinue,
            IsHopeless = isDue && ContinuedAt is { } continued && at - continued >= Patience,
            ContinuedAt = isToContinue ? at : ContinuedAt,
        };
    }
}
