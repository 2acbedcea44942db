using LlmGateway.Gateway.Scheduling.Placement;

namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>One whose turn it is.</summary>
/// <param name="Waiter">Who.</param>
/// <param name="Backend">Whose slots he gets; null when his time is over.</param>
internal readonly record struct Turn(Waiter Waiter, BackendSlots? Backend);

/// <summary>Who is next: the highest band that waits, in it a least served key (<see cref="Band.Peek"/>), of that key whoever came first. Guarded by the queue's lock.</summary>
/// <remarks>
/// One that needs several slots collects them on one backend: nobody behind it takes those, but the slots of other backends are free for all. One that a
/// backend has failed, or whose limit is too short for a server that must read its whole prompt, lets others take that backend's slots. So nobody waits
/// while a slot is free that may be his.
/// </remarks>
internal sealed class Turns(WaitingRoom room, List<BackendSlots> backends, Func<Waiter, bool> isLate, Func<QueueTicket, BackendSlots, bool> isTooLateOn, Func<Waiter, bool> isStarving)
{
    /// <summary>Keys, and requests of each, that are looked at for one slot when those before them can't use it.</summary>
    private const int MostKeys = 8;
    private const int MostOfAKey = 16;

    /// <summary>How often one may be overtaken by those whose prompts a server has read, and by how many usual costs they may be ahead.</summary>
    private const int MostOvertaken = 16;
    private const double Slack = 3;

    private readonly Flow?[] _flows = new Flow?[MostKeys];
    private Func<BackendSlots, bool>? _isUnwanted;
    private StarvationGuard _guard;
    private long _handOut;
    private int _rotation;

    /// <summary>The next one, or null when nobody can be served.</summary>
    public Turn? Next()
    {
        _handOut++;
        _isUnwanted ??= slots => slots.UnwantedIn == _handOut; // made once: it would cost every release an allocation
        while (room.Count > 0 && LeastBusy.Pick(backends, 1, _rotation++, _isUnwanted) is { } free)
        {
            if (NextFor(free) is { } turn)
            {
                return turn;
            }

            free.UnwantedIn = _handOut;
        }

        return null;
    }

    /// <summary>The backend for one who need not wait for others, or null.</summary>
    public BackendSlots? Place(QueueTicket ticket) =>
        Affinity.Prefer(ticket, ticket.HasFailed || ticket.FirstTokenWithin is not null || ticket.Request.Choices > 1 ? PlaceWhereItMay(ticket) : LeastBusy.Pick(backends, ticket.Request.Slots, _rotation++), backends);

    // A method of its own: its closure would cost every request an allocation.
    private BackendSlots? PlaceWhereItMay(QueueTicket ticket) =>
        LeastBusy.Pick(backends, ticket.Request.Slots, _rotation++, slots => !MayUse(ticket, slots));

    private Turn? NextFor(BackendSlots free)
    {
        var starving = _guard.IsDue ? Starving() : null;
        var isHeld = false;
        if (starving is not null && NextOf(starving, free, ref isHeld) is { } guarded)
        {
            return Granted(guarded, toStarving: true);
        }

        foreach (var band in room.Bands)
        {
            if (!isHeld && band.Count > 0 && band != starving && NextOf(band, free, ref isHeld) is { } turn)
            {
                return Granted(turn, toStarving: false);
            }
        }

        return null;
    }

    private Turn Granted(Turn turn, bool toStarving)
    {
        if (turn.Backend is not null)
        {
            _guard.Granted(toStarving);
        }

        return turn;
    }

    /// <summary>Of the bands below the highest that wait, the one whose first has waited longest, and too long.</summary>
    private Band? Starving()
    {
        Band? longest = null;
        var isHighest = true;
        foreach (var band in room.Bands)
        {
            if (band.Oldest is { } oldest)
            {
                longest = !isHighest && isStarving(oldest) && (longest is null || oldest.Ticket.Number < longest.Oldest!.Ticket.Number) ? band : longest;
                isHighest = false;
            }
        }

        return longest;
    }

    private Turn? NextOf(Band band, BackendSlots free, ref bool isHeld)
    {
        var found = band.Peek(_flows);
        for (var i = 0; i < found; i++)
        {
            var waiter = _flows[i]!.Line.First;
            for (var seen = 0; waiter is not null && seen < MostOfAKey; seen++, waiter = WaiterList<Waiter.ByFlow>.After(waiter))
            {
                if (isLate(waiter))
                {
                    return new Turn(waiter, null);
                }

                if (!MayUse(waiter.Ticket, free))
                {
                    continue;
                }

                if (waiter.Ticket.Request.Slots == 1)
                {
                    return new Turn(Warmer(waiter, free, band, i, found) ?? waiter, free);
                }

                if (Place(waiter.Ticket) is { } fitting)
                {
                    return new Turn(waiter, fitting);
                }

                if (Collect(waiter) == free)
                {
                    isHeld = true;
                    return null;
                }
            }
        }

        return null;
    }

    /// <summary>One whose prompt the server has read, not far behind the first; null when the first is as good or was overtaken often enough.</summary>
    /// <remarks>Affinity at arrival does nothing once a queue stands: it is here, when a slot comes free, that prefixes stay warm.</remarks>
    private Waiter? Warmer(Waiter first, BackendSlots free, Band band, int from, int found)
    {
        if (free.Memory.IsEmpty || first.Ticket.Overtaken >= MostOvertaken || Affinity.Of(first.Ticket, free) > 0)
        {
            return null;
        }

        // Unfairness is bounded twice: by the service that one key may be ahead of another, and by how often one is overtaken.
        var slack = first.Flow!.Served + (Slack * band.Cost / band.Count);
        for (var i = from; i < found; i++)
        {
            var waiter = _flows[i]!.Served <= slack ? _flows[i]!.Line.First : null;
            for (var seen = 0; waiter is not null && seen < MostOfAKey; seen++, waiter = WaiterList<Waiter.ByFlow>.After(waiter))
            {
                if (waiter.Ticket.Request.Slots == 1 && Affinity.Of(waiter.Ticket, free) > 0 && MayUse(waiter.Ticket, free) && !isLate(waiter))
                {
                    first.Ticket.Overtaken++;
                    return waiter;
                }
            }
        }

        return null;
    }

    /// <summary>Where one that needs several slots collects them: the backend with the most of them, and that one from then on.</summary>
    private BackendSlots Collect(Waiter waiter)
    {
        if (waiter.CollectsOn is { Capacity: > 0 } known && MayUse(waiter.Ticket, known))
        {
            return known;
        }

        BackendSlots? best = null;
        foreach (var slots in backends)
        {
            if (slots.Capacity > 0 && MayUse(waiter.Ticket, slots) && (best is null || slots.Total > best.Total || (slots.Total == best.Total && slots.Free > best.Free)))
            {
                best = slots;
            }
        }

        return waiter.CollectsOn = best!;
    }

    private bool MayUse(QueueTicket ticket, BackendSlots slots) => HasSlotsFor(ticket, slots) && !isTooLateOn(ticket, slots) && MayRetry(ticket, slots);

    /// <summary>A list is worked on bit by bit where slots are few, choices are refused there. Where none has as many, any backend may say so.</summary>
    private bool HasSlotsFor(QueueTicket ticket, BackendSlots slots) =>
        slots.Total >= ticket.Request.Choices || !backends.Exists(other => other.Total >= ticket.Request.Choices);

    /// <summary>One that fails fast is also the least busy: without this it would get the retry as well.</summary>
    private bool MayRetry(QueueTicket ticket, BackendSlots slots) =>
        !ticket.FailedBy(slots.Backend) || !backends.Exists(other => other.Capacity > 0 && !ticket.FailedBy(other.Backend));
}
