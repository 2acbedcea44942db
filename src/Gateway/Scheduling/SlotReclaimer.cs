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
/// A cancelled stream is let go with its next token, a cancelled prompt after its batch, and a cancelled call that is no stream perhaps never, and later still
/// when it is asked more than once a second. Hence a few quick looks and then a slow pace.
/// </remarks>
internal sealed class SlotReclaimer(ISlotCensus census, TimeProvider time, ILogger<SlotReclaimer> logger)
{
    /// <summary>Milliseconds before the first looks of a watch: at once, and 10, 20, 35, 60, 100, 250 and 1,250 after its begin.</summary>
    private static readonly int[] Quick = [0, 10, 10, 15, 25, 40, 150, 1000];

    /// <summary>Looks in a second at a server that has plenty of free slots: all the quick ones for one client, and for many who leave no more than that.</summary>
    private static readonly int MostAtEase = Quick.Length;

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
                var (look, whenAsked) = watching.NextLook();
                if (await IsSoonerAsync(whenAsked, WaitBefore(look), gone))
                {
                    // Somebody has left meanwhile: the first of the quick ones is now.
                    (look, _) = watching.NextLook();
                }

                var (total, whenWanted) = queue.Demand(slots);
                await IsSoonerAsync(whenWanted, watching.Ease, gone);
                if (watching.Pause(total) is var pause && pause > TimeSpan.Zero)
                {
                    await Task.Delay(pause, time, gone);
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
            // Told below.
        }
        catch
        {
            // Whoever gives up a slot next begins to watch again.
            watching.Stop();
            throw;
        }

        // What it worked on is gone with it.
        queue.Settle(slots, busy: 0);
    }

    /// <summary>Between two looks, however many clients leave: a server with many slots has much to tell.</summary>
    private static TimeSpan LeastBetween(int slots) => TimeSpan.FromMilliseconds(10 + (slots / 20));

    private static TimeSpan WaitBefore(int look) => look < Quick.Length ? TimeSpan.FromMilliseconds(Quick[look]) : Slow;

    /// <summary>Waits for something, but no longer than this. True when it has come.</summary>
    private async Task<bool> IsSoonerAsync(Task something, TimeSpan limit, CancellationToken gone)
    {
        await something.WaitAsync(limit, time, gone).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        gone.ThrowIfCancellationRequested();
        return something.IsCompleted;
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
        private TaskCompletionSource? _asked;

        /// <summary>How long the next look may wait behind the last ones while nobody wants the slots.</summary>
        public TimeSpan Ease => _lastLooks.Count == MostAtEase ? Left(_lastLooks.Peek(), TimeSpan.FromSeconds(1)) : TimeSpan.Zero;

        /// <summary>Asks for quick looks. True when nobody watches yet: the caller must.</summary>
        public bool Ask()
        {
            TaskCompletionSource? asked;
            bool isFirst;
            lock (_lock)
            {
                _look = 0;
                (asked, _asked) = (_asked, null);
                isFirst = !_isRunning;
                _isRunning = true;
            }

            asked?.SetResult();
            return isFirst;
        }

        /// <summary>The number of the next look, and what completes when quick ones are asked for again.</summary>
        public (int Look, Task WhenAsked) NextLook()
        {
            lock (_lock)
            {
                return (_look++, (_asked ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task);
            }
        }

        /// <summary>How long the next look must still wait behind the last one.</summary>
        public TimeSpan Pause(int slots) => _lookedAt is { } last ? Left(last, LeastBetween(slots)) : TimeSpan.Zero;

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

        private TimeSpan Left(long since, TimeSpan wait)
        {
            var left = wait - time.GetElapsedTime(since);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }
}
