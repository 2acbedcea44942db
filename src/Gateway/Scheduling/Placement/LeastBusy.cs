namespace LlmGateway.Gateway.Scheduling.Placement;

/// <summary>Picks the backend for a request: of those where it fits, the one whose slots are least in use. Pure.</summary>
internal static class LeastBusy
{
    public static BackendSlots? Pick(IReadOnlyList<BackendSlots> backends, int slots, int rotation)
    {
        BackendSlots? best = null;
        for (var i = 0; i < backends.Count; i++)
        {
            // Begins elsewhere each time, so that equals share the work.
            var candidate = backends[(int)((uint)(i + rotation) % (uint)backends.Count)];
            if (candidate.Fits(slots) && (best is null || Load(candidate) < Load(best)))
            {
                best = candidate;
            }
        }

        return best;
    }

    private static double Load(BackendSlots backend) => (double)(backend.Busy + backend.Quarantined) / backend.Capacity;
}
