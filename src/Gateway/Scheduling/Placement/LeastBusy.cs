namespace LlmGateway.Gateway.Scheduling.Placement;

/// <summary>Picks the backend for a request: of those where it fits, one that has all the slots it can use, and of these the least busy. Pure.</summary>
internal static class LeastBusy
{
    /// <param name="backends">All there are.</param>
    /// <param name="slots">Slots wanted.</param>
    /// <param name="rotation">Where to begin: equals share the work.</param>
    /// <param name="except">Those that are out of the question, or null.</param>
    public static BackendSlots? Pick(List<BackendSlots> backends, int slots, int rotation, Func<BackendSlots, bool>? except = null)
    {
        BackendSlots? best = null;
        var at = (int)((uint)rotation % (uint)Math.Max(1, backends.Count));
        for (var i = 0; i < backends.Count; i++)
        {
            var candidate = backends[at];
            at = at + 1 == backends.Count ? 0 : at + 1;
            if (candidate.Fits(slots) && (best is null || IsBetter(candidate, best, slots)) && except?.Invoke(candidate) != true)
            {
                best = candidate;
            }
        }

        return best;
    }

    private static bool IsBetter(BackendSlots candidate, BackendSlots best, int slots)
    {
        var (offered, offeredByBest) = (Math.Min(slots, candidate.Total), Math.Min(slots, best.Total));
        return offered != offeredByBest ? offered > offeredByBest : candidate.Load < best.Load;
    }
}
