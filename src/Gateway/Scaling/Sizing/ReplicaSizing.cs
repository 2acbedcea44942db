namespace LlmGateway.Gateway.Scaling.Sizing;

/// <summary>Decides how many processes a model should have, by the age of its queue and the use of its slots. Pure.</summary>
/// <remarks>
/// <code>
/// all slots in use, somebody waits for UpAfter      as many more as would take those who wait, at most as many as there are
/// half the slots of one less would do, for DownAfter    one less
/// else                                              as many as there are
/// </code>
/// Between the two lies a wide gap, so that it does not flutter; and nothing more is asked for before what was asked for is there.
/// </remarks>
internal static class ReplicaSizing
{
    /// <summary>Share of the slots that would be left below which one replica is too many.</summary>
    private const double CalmShare = 0.5;

    /// <param name="load">What is seen now.</param>
    /// <param name="bounds">What the configuration says.</param>
    /// <param name="calm">How long it has been calm before this look; null when it was not.</param>
    /// <returns>How many there should be, and whether it is calm now.</returns>
    public static (int Wanted, bool IsCalm) Decide(ModelLoad load, SizingBounds bounds, TimeSpan? calm)
    {
        var slotsEach = Math.Max(1, load.Slots / Math.Max(1, load.Replicas));
        var isCalm = load.Waiting == 0 && load.Busy <= CalmShare * slotsEach * (load.Replicas - 1);
        if (load.Replicas < bounds.Least || load.Replicas > bounds.Most)
        {
            return (Math.Clamp(load.Replicas, bounds.Least, bounds.Most), isCalm);
        }

        if (load.IsGivingBack)
        {
            return (isCalm ? load.Replicas - 1 : load.Replicas, isCalm);
        }

        if (!load.IsSettled)
        {
            return (load.Replicas, isCalm);
        }

        if (load.Waiting > 0 && load.OldestAge >= bounds.UpAfter && load.Busy >= load.Slots)
        {
            var missing = (load.Waiting + slotsEach - 1) / slotsEach;
            return (Math.Min(bounds.Most, load.Replicas + Math.Clamp(missing, 1, load.Replicas)), isCalm);
        }

        return (isCalm && calm >= bounds.DownAfter && load.Replicas > bounds.Least ? load.Replicas - 1 : load.Replicas, isCalm);
    }
}

/// <summary>A model's load at one moment.</summary>
/// <param name="Replicas">Processes that it is to have.</param>
/// <param name="IsSettled">All of them take work: what more of them brings can be seen.</param>
/// <param name="IsGivingBack">One of them takes no new work, to be ended when it is idle.</param>
/// <param name="Slots">Slots of all together.</param>
/// <param name="Busy">Slots in use, of all together.</param>
/// <param name="Waiting">Requests that wait.</param>
/// <param name="OldestAge">How long the first of them has waited.</param>
internal sealed record ModelLoad(int Replicas, bool IsSettled, bool IsGivingBack, int Slots, int Busy, int Waiting, TimeSpan OldestAge);

/// <summary>What the configuration says about the number of a model's processes.</summary>
internal sealed record SizingBounds(int Least, int Most, TimeSpan UpAfter, TimeSpan DownAfter);
