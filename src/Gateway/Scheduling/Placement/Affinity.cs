namespace LlmGateway.Gateway.Scheduling.Placement;

/// <summary>Where a request's prompt was read before, and whether that is worth going there. Pure.</summary>
internal static class Affinity
{
    /// <summary>Bytes of the prompt that the server has read; 0 when it is too little to matter.</summary>
    /// <remarks>A session that the server knows counts as the least that matters: the client says that it goes on there.</remarks>
    public static int Of(QueueTicket ticket, BackendSlots slots) => ticket.HasPrefix
        ? Math.Max(slots.Memory.Match(ticket.Request.Prefix, ticket.LeastMatch), slots.Memory.Knows(ticket.Request.Session) ? ticket.LeastMatch : 0)
        : 0;

    /// <summary>The warmest of the backends where the request fits, unless it is too much busier than the least busy one; then that.</summary>
    public static BackendSlots? Prefer(QueueTicket ticket, BackendSlots? leastBusy, List<BackendSlots> backends)
    {
        if (leastBusy is null || !ticket.HasPrefix)
        {
            return leastBusy;
        }

        var (best, most) = (leastBusy, Of(ticket, leastBusy));
        foreach (var slots in backends)
        {
            if (slots != leastBusy && slots.Fits(ticket.Request.Slots) && slots.Total >= Math.Min(ticket.Request.Choices, leastBusy.Total) && !ticket.FailedBy(slots.Backend)
                && slots.Taken - leastBusy.Taken <= Guard(slots) && Of(ticket, slots) is var match && match > most)
            {
                (best, most) = (slots, match);
            }
        }

        return best;
    }

    /// <summary>Slots by which a warm server may be busier: a quarter of its own.</summary>
    private static int Guard(BackendSlots slots) => Math.Max(1, slots.Total / 4);
}

/// <summary>What became of a request whose prompt could have been read before.</summary>
internal enum AffinityResult
{
    /// <summary>It went at once to a server that has read it.</summary>
    PlacedHit,

    /// <summary>It waited and got a slot of a server that has read it.</summary>
    ScanHit,

    /// <summary>No server has read it.</summary>
    Miss,

    /// <summary>One has, but had no slot for it.</summary>
    OverriddenByLoad,
}
