namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>How long a wait is going to be: whose slot it will be, and when that one comes free. Pure.</summary>
internal static class WaitForecast
{
    /// <summary>Shortest and longest advice: clients ignore anything beyond.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    /// <summary>Slots of those who will be served before a newcomer of a key, inside its band.</summary>
    /// <param name="inBand">Slots that wait in the band.</param>
    /// <param name="ofKey">Those of the newcomer's own key.</param>
    /// <param name="weight">The key's weight.</param>
    /// <param name="weights">Weights of all keys that will wait, the newcomer's included.</param>
    public static int Ahead(int inBand, int ofKey, int weight, int weights)
    {
        // While the key is served once, each of the others is served by its weight: no more than they have, and all of its own.
        var others = (double)(ofKey + 1) * (weights - weight) / Math.Max(1, weight);
        return ofKey + (int)Math.Min(inBand - ofKey, Math.Ceiling(others));
    }

    /// <summary>The wait for the slot after <paramref name="ahead"/> others.</summary>
    /// <param name="ahead">Slots that are handed to others first.</param>
    /// <param name="slots">Slots wanted.</param>
    /// <param name="hold">Seconds for which one of those ahead will hold a slot.</param>
    /// <param name="busy">Seconds until each busy slot comes free; sorted by this call. May hold fewer than <paramref name="capacity"/>: the rest is free.</param>
    /// <param name="capacity">Slots that there are.</param>
    public static TimeSpan Wait(int ahead, int slots, double hold, Span<double> busy, int capacity)
    {
        if (capacity <= 0)
        {
            return TimeSpan.FromSeconds(hold * (ahead + slots));
        }

        var last = ahead + Math.Max(1, slots) - 1;
        var (rounds, place) = (last / capacity, last % capacity);
        var free = Math.Max(0, capacity - busy.Length);
        busy.Sort();

        // In whole ticks: sums of seconds round so that a later place could seem to come sooner.
        return TimeSpan.FromTicks(rounds * TimeSpan.FromSeconds(hold).Ticks) + TimeSpan.FromSeconds(place < free ? 0 : busy[Math.Min(place - free, busy.Length - 1)]);
    }

    /// <summary>What to tell a refused client: the wait, 1 to 30 s, ± 20 % within these so that the refused do not come back together.</summary>
    /// <param name="wait">The expected wait.</param>
    /// <param name="random">0 to 1.</param>
    public static TimeSpan RetryAfter(TimeSpan wait, double random)
    {
        var within = wait < Shortest ? Shortest : wait > Longest ? Longest : wait;
        var (least, most) = (within * 0.8, within * 1.2);
        least = least < Shortest ? Shortest : least;
        most = most > Longest ? Longest : most;
        return least + ((most - least) * random);
    }
}
