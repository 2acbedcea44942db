using System.Collections.Immutable;
using System.Runtime.CompilerServices;

namespace LlmGateway.Gateway.Requests;

/// <summary>Where the gateway itself spends a request's time before the first token.</summary>
internal enum OverheadPhase
{
    /// <summary>From arrival to a request that is understood: HTTP handling, key, JSON.</summary>
    Read,

    /// <summary>Admission and the queue's own work, without the wait.</summary>
    Admit,

    /// <summary>From the grant to a request that is on its way to the backend.</summary>
    Send,

    /// <summary>From the first token in hand to the first token written to the client.</summary>
    FirstToken,
}

/// <summary>A stopwatch that runs only while the gateway itself works: waiting for a slot, the backend or the client's body stops it or is taken off.</summary>
internal sealed class OverheadClock
{
    private readonly TimeProvider _time;
    private Spent _spent;
    private OverheadPhase? _phase = OverheadPhase.Read;
    private long _since;

    /// <param name="time">The clock.</param>
    /// <param name="arrivedAt">Timestamp of the request's arrival.</param>
    public OverheadClock(TimeProvider time, long arrivedAt) => (_time, _since) = (time, arrivedAt);

    public static ImmutableArray<OverheadPhase> Phases { get; } = [.. Enum.GetValues<OverheadPhase>()];

    public TimeSpan Total
    {
        get
        {
            var total = TimeSpan.Zero;
            foreach (var one in _spent)
            {
                total += one;
            }

            return total;
        }
    }

    public static string Name(OverheadPhase phase) => phase switch
    {
        OverheadPhase.Read => "read",
        OverheadPhase.Admit => "admit",
        OverheadPhase.Send => "send",
        OverheadPhase.FirstToken => "first_token",
        _ => throw new ArgumentOutOfRangeException(nameof(phase)),
    };

    public TimeSpan Of(OverheadPhase phase) => _spent[(int)phase];

    /// <summary>Ends the phase that runs and begins another.</summary>
    public void Enter(OverheadPhase phase)
    {
        Pause();
        (_phase, _since) = (phase, _time.GetTimestamp());
    }

    /// <summary>Takes time off the phase that runs: it passed in waiting for somebody else.</summary>
    public void TakeOff(TimeSpan waited)
    {
        if (_phase is { } phase)
        {
            _spent[(int)phase] -= waited;
        }
    }

    /// <summary>Somebody else has the request now. Idempotent.</summary>
    public void Pause()
    {
        if (_phase is { } phase)
        {
            // What was taken off is measured by another clock's ticks: never below nothing.
            var spent = _spent[(int)phase] + _time.GetElapsedTime(_since);
            (_spent[(int)phase], _phase) = (spent > TimeSpan.Zero ? spent : TimeSpan.Zero, null);
        }
    }

    /// <summary>One time for each phase.</summary>
    [InlineArray(4)]
    private struct Spent
    {
        private TimeSpan _first;
    }
}
