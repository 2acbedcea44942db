using System.Runtime.CompilerServices;
using LlmGateway.Gateway.Backends;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Asks a server how many of its slots are busy.</summary>
internal interface ISlotCensus
{
    /// <summary>Busy slots; null when the server does not tell.</summary>
    /// <exception cref="HttpRequestException">It did not answer.</exception>
    Task<int?> BusyAsync(Backend backend, CancellationToken cancellationToken);
}

/// <summary>Watches slots that we gave up until their server has really let go of them: only then are they handed on.</summary>
/// <remarks>
/// A cancelled stream is let go with its next token as a rule, now and then only after a quarter of a second or more, a cancelled prompt after its batch,
/// and a cancelled call that is no stream perhaps never, and later still when it is asked more than once a second. Hence a few quick looks and then a slow pace.
/// </remarks>
internal sealed class SlotReclaimer(ISlotCensus census, TimeProvider time, ILogger<SlotReclaimer> logger)
{
    /// <summary>Between two looks, however many clients leave: a server with many slots has much to tell.</summary>
    private static readonly TimeSpan LeastBetween = TimeSpan.FromMilliseconds(25);

    /// <summary>Waits before the first looks of a watch.</summary>
    private static readonly TimeSpan[] Quick =
        [TimeSpan.Zero, LeastBetween, LeastBetween, TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(150), TimeSpan.FromSeconds(1)];

    /// <summary>Looks in a second at a server that has plenty of free slots: one that comes back later is missed by nobody.</summary>
    private const int MostAtEase = 5;

    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(2);

    private readonly ConditionalWeakTable<BackendSlots, Watching> _watched = [];

    /// <summary>Begins to watch a backend, or to look quickly again if it is watched already. Returns at once.</summary>
    public void Watch(ModelQueue queue, BackendSlots slots)
    {
        var watching = _watched.GetValue(slots, _ => new Watching(time));
        if (watching.Ask())
        {
            _ = WatchAsync(queue, slots, watching);
        }
    }

    private async Task WatchAsync(ModelQueue queue, BackendSlots slots, Watching watching)
    {
        var gone = slots.Backend.Gone;
        try
        {
            while (!gone.IsCancellationRequested)
            {
                var look = watching.NextLook();
                var delay = look < Quick.Length ? Quick[look] : Slow;
                if (delay > TimeSpan.Zero)
                {
                    await Task.Delay(delay, time, gone);
                }

                // Asked again and again: what was plenty may be scarce now.
                while (watching.Pause(queue.HasPlenty(slots)) is var pause && pause > TimeSpan.Zero)
                {
                    await Task.Delay(pause < LeastBetween ? pause : LeastBetween, time, gone);
                }

                watching.Looks();
                if (await TryCountAsync(slots.Backend, look == Quick.Length, gone) is { } answer && queue.Settle(slots, answer.Busy) == 0 && watching.IsDone())
                {
                    return;
                }
            }
        }
        catch (Exception) when (gone.IsCancellationRequested)
        {
            // Its slots are gone with it.
        }
        catch
        {
            // Whoever gives up a slot next begins to watch again.
            watching.Stop();
            throw;
        }
    }

    private async Task<(int? Busy, bool)?> TryCountAsync(Backend backend, bool tellOnce, CancellationToken gone)
    {
        using var timeout = new CancellationTokenSource(AnswerWithin, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(gone, timeout.Token);
        try
        {
            return (await census.BusyAsync(backend, either.Token), true);
        }
        catch (Exception e) when (!gone.IsCancellationRequested)
        {
            // Whatever it was: a watch that ends here would leave the slots closed for good.
            if (tellOnce)
            {
                Log.SlotsUnanswered(logger, backend.Name, e.Message);
            }

            return null;
        }
    }

    /// <summary>Which look is next and when the last ones were, and whether somebody asked for quick ones again.</summary>
    private sealed class Watching(TimeProvider time)
    {
        private readonly Lock _lock = new();

        // Without the lock: there is one watch at a time, and nobody else has to do with these.
        private readonly Queue<long> _lastLooks = new(MostAtEase);
        private long? _lookedAt;

        private bool _isRunning;
        private int _look;

        /// <summary>Asks for quick looks. True when nobody watches yet: the caller must.</summary>
        public bool Ask()
        {
            lock (_lock)
            {
                _look = 0;
                return !_isRunning && (_isRunning = true);
            }
        }

        /// <summary>The number of the next look.</summary>
        public int NextLook()
        {
            lock (_lock)
            {
                return _look++;
            }
        }

        /// <summary>How long the next look must still wait behind the last ones.</summary>
        public TimeSpan Pause(bool hasPlenty)
        {
            var pause = _lookedAt is { } last ? LeastBetween - time.GetElapsedTime(last) : TimeSpan.Zero;
            var ease = hasPlenty && _lastLooks.Count == MostAtEase ? TimeSpan.FromSeconds(1) - time.GetElapsedTime(_lastLooks.Peek()) : TimeSpan.Zero;
            return pause > ease ? pause : ease;
        }

        /// <summary>A look begins.</summary>
        public void Looks()
        {
            if (_lastLooks.Count == MostAtEase)
            {
                _lastLooks.Dequeue();
            }

            var now = time.GetTimestamp();
            _lastLooks.Enqueue(now);
            _lookedAt = now;
        }

        /// <summary>Nobody watches any more.</summary>
        public void Stop()
        {
            lock (_lock)
            {
                _isRunning = false;
            }
        }

        /// <summary>True when nothing was asked since the last look; then nobody watches any more.</summary>
        public bool IsDone()
        {
            lock (_lock)
            {
                return _look > 0 && !(_isRunning = false);
            }
        }
    }
}
