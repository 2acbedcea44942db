using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scheduling.Breaking;

/// <summary>Whether a backend is given work.</summary>
internal enum BreakerState
{
    /// <summary>Yes.</summary>
    Closed,

    /// <summary>One request at a time, to see.</summary>
    HalfOpen,

    /// <summary>No.</summary>
    Open,
}

/// <summary>Why a breaker changed.</summary>
internal enum BreakerReason
{
    /// <summary>Too many of its outcomes were faults.</summary>
    Faults,

    /// <summary>Its process ended.</summary>
    Exit,

    /// <summary>It takes work again, as its supervisor or its probe says.</summary>
    Ready,

    /// <summary>It was left alone for long enough.</summary>
    Waited,

    /// <summary>No other backend is left.</summary>
    Last,

    /// <summary>The trial request was served.</summary>
    TrialPassed,

    /// <summary>The trial request failed.</summary>
    TrialFailed,
}

/// <summary>One step of a breaker.</summary>
internal readonly record struct BreakerChange(BreakerState From, BreakerState To, BreakerReason Reason);

/// <summary>Leaves a failing backend alone for a while, tries it with one request, and then opens its slots one by one. Values in, values out.</summary>
/// <remarks>
/// <code>
///                  closed                        open                       half-open
/// fault            open, if too many and it is   -                          of the trial: open for twice as long
///                  not the last that takes work
/// ok, client       -                             -                          of the trial: closed, slots open one by one
/// other outcomes   -                             -                          of the trial: another may try
/// process ends     open until it is ready        open until it is ready     open until it is ready
/// ready            -                             half-open                  -
/// time is over     -                             half-open                  -
/// none other left  -                             half-open, unless it ended -
/// </code>
/// </remarks>
internal sealed class Breaker(BreakerOptions options, TimeSpan slowStart)
{
    private static readonly TimeSpan LongestBreak = TimeSpan.FromSeconds(60);

    private readonly OutcomeWindow _window = new(options.Window);
    private int _breaks;
    private TimeSpan? _closedAt;

    public BreakerState State { get; private set; }

    /// <summary>When an open one is tried again; null when only its readiness ends it.</summary>
    public TimeSpan? OpenUntil { get; private set; }

    /// <summary>True while the one request of a half-open one runs.</summary>
    public bool IsTrying { get; private set; }

    /// <summary>Takes an outcome into account.</summary>
    /// <param name="outcome">What the use says about the backend.</param>
    /// <param name="isTrial">True for the request that a half-open one was tried with.</param>
    /// <param name="isLast">True when no other backend takes work: that one is never left alone for a ratio.</param>
    /// <param name="now">Time since whenever; never falls.</param>
    /// <param name="random">0 to 1.</param>
    public BreakerChange? Record(UpstreamOutcome outcome, bool isTrial, bool isLast, TimeSpan now, double random)
    {
        bool? passed = outcome switch
        {
            UpstreamOutcome.Ok or UpstreamOutcome.Client => true,
            UpstreamOutcome.Fault => false,
            _ => null,
        };
        if (State == BreakerState.HalfOpen && isTrial)
        {
            IsTrying = false;
            return passed switch
            {
                true => Close(now),
                false => Open(BreakerReason.TrialFailed, now, random),
                null => null,
            };
        }

        if (State != BreakerState.Closed || passed is null)
        {
            return null;
        }

        _window.Record(passed.Value, now);
        var (ok, faults) = _window.Count(now);
        return !passed.Value && !isLast && ok + faults >= options.MinimumThroughput && faults >= options.FailureRatio * (ok + faults)
            ? Open(BreakerReason.Faults, now, random)
            : null;
    }

    /// <summary>Share of the outcomes within the window that were faults; 0 while there were too few to tell.</summary>
    public double Faults(TimeSpan now) => _window.Count(now) is var (ok, faults) && ok + faults >= options.MinimumThroughput ? (double)faults / (ok + faults) : 0;

    /// <summary>The one request of a half-open breaker begins.</summary>
    public void Try() => IsTrying = true;

    /// <summary>The process has ended.</summary>
    public BreakerChange? Exited()
    {
        OpenUntil = null;
        return Turn(BreakerState.Open, BreakerReason.Exit);
    }

    /// <summary>The backend takes work again, as those say who watch it.</summary>
    public BreakerChange? Ready() => State == BreakerState.Open ? Turn(BreakerState.HalfOpen, BreakerReason.Ready) : null;

    /// <summary>No other backend takes work: better a doubtful one than none.</summary>
    public BreakerChange? IsLastHope() => State == BreakerState.Open && OpenUntil is not null ? Turn(BreakerState.HalfOpen, BreakerReason.Last) : null;

    /// <summary>Looks at the clock.</summary>
    public BreakerChange? Look(TimeSpan now) => State == BreakerState.Open && OpenUntil <= now ? Turn(BreakerState.HalfOpen, BreakerReason.Waited) : null;

    /// <summary>Slots that may be used, of so many.</summary>
    /// <param name="total">Slots that the backend has.</param>
    /// <param name="taken">Slots that are in use.</param>
    /// <param name="now">See <see cref="Record"/>.</param>
    public int Capacity(int total, int taken, TimeSpan now) => State switch
    {
        BreakerState.Open => 0,
        BreakerState.HalfOpen => Math.Min(total, taken + (IsTrying ? 0 : 1)),
        _ when Ramp(now) is { } share => Math.Clamp(Opened(total, share), Math.Min(1, total), total),
        _ => total,
    };

    /// <summary>When the capacity changes by itself, or null.</summary>
    public TimeSpan? NextChange(int total, TimeSpan now)
    {
        if (State == BreakerState.Open)
        {
            return OpenUntil;
        }

        // Slot by slot: the next one opens when its share of the time is over.
        return State == BreakerState.Closed && Ramp(now) is { } share ? _closedAt + (slowStart * Math.Min(1, (Opened(total, share) + 1.0) / total)) : null;
    }

    private BreakerChange Close(TimeSpan now)
    {
        _window.Clear();
        _closedAt = now;
        return Turn(BreakerState.Closed, BreakerReason.TrialPassed)!.Value;
    }

    private BreakerChange Open(BreakerReason reason, TimeSpan now, double random)
    {
        // Faults long after the last break are another story.
        _breaks = State == BreakerState.Closed && _closedAt is { } closedAt && now - closedAt > slowStart + options.Window ? 0 : _breaks;
        var longest = options.BreakDuration > LongestBreak ? options.BreakDuration : LongestBreak;
        var length = options.BreakDuration * Math.Pow(2, Math.Min(_breaks++, 16));
        OpenUntil = now + ((length < longest ? length : longest) * (0.8 + (0.4 * random)));
        _window.Clear();
        return Turn(BreakerState.Open, reason)!.Value;
    }

    private BreakerChange? Turn(BreakerState to, BreakerReason reason)
    {
        var from = State;
        State = to;
        IsTrying = false;
        return from == to ? null : new BreakerChange(from, to, reason);
    }

    private static int Opened(int total, double share) => (int)((total * share) + 1e-6);

    /// <summary>Share of the slots that a backend may use which has just come back; null when all.</summary>
    private double? Ramp(TimeSpan now) => _closedAt is { } since && now - since < slowStart ? (now - since) / slowStart : null;
}
