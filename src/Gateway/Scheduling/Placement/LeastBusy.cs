namespace LlmGateway.Gateway.Scheduling.Placement;

/// <summary>Picks the backend for a request: of those where it fits, one that has all the slots it can use, and of these the least busy. Pure.</summary>
internal static class LeastBusy
{
    public static BackendSlots? Pick(IReadOnlyList<BackendSlots> backends, int slots, int rotation)
    {
        BackendSlots? best = null;
        for (var i = 0; i < backends.Count; i++)
        {
            // Begins elsewhere each time, so that equals share the work.
            var candidate = backends[(int)((uint)(i + rotation) % (uint)backends.Count)];
            if (candidate.Fits(slots) && (best is null || IsBetter(candidate, best, slots)))
            {
                best = candidate;
            }
        }

        return best;
    }

    private static bool IsBetter(BackendSlots candidate, BackendSlots best, int slots)
    {
        var (offered, offeredByBest) = (Math.Min(slots, candidate.Total), Math.Min(slots, best.Total));
        return offered != offeredByBest ? offered > offeredByBest : Load(candidate) < Load(best);
    }

    private static double Load(BackendSlots backend) => (double)(backend.Busy + backend.Quarantined) / backend.Capacity;
}
