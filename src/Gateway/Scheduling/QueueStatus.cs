using System.Collections.Immutable;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Placement;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>A queue's numbers at one moment.</summary>
internal sealed record QueueStatus(
    string Model, int Depth, int Limit, long Bytes, TimeSpan OldestAge, ImmutableArray<BandStatus> Bands, ImmutableArray<SlotStatus> Slots)
{
    /// <summary>Time since the model was last in use; zero while something runs or waits.</summary>
    public TimeSpan IdleFor { get; init; }

    /// <summary>Of a model that has no queue.</summary>
    public static QueueStatus None(string model) => new(model, 0, 0, 0, TimeSpan.Zero, [], []);

    /// <summary>The wait of one who comes after all that wait with normal priority or a higher one.</summary>
    public TimeSpan PredictedWait { get; init; }

    /// <summary>The breakers of all backends that are wanted.</summary>
    public ImmutableArray<BreakerStatus> Breakers { get; init; } = [];

    /// <summary>Requests so far by what became of their prompts' beginnings, by <see cref="AffinityResult"/>.</summary>
    public ImmutableArray<long> Affinity { get; init; } = [];

    /// <summary>Keys that wait or run.</summary>
    public ImmutableArray<KeyStatus> Keys { get; init; } = [];
}

/// <summary>Those who wait in one band: how many, their bodies' bytes, how long the first of them has waited, how long one who came now would wait.</summary>
internal sealed record BandStatus(Priority Priority, int Depth, long Bytes, TimeSpan OldestAge, TimeSpan PredictedWait);

/// <summary>One key's requests to the model.</summary>
internal sealed record KeyStatus(string Key, int Waiting, int Running);

/// <summary>One backend's slots.</summary>
internal sealed record SlotStatus(string Backend, int Total, int Busy, int Quarantined)
{
    /// <summary>Slots that may be used now: fewer than there are while the backend comes back, none while it takes no work.</summary>
    public int Usable { get; init; }

    /// <summary>Why a server that takes work is given less than it has slots, in sentences for a person; null when only its own work limits it.</summary>
    public string? LimitedBecause { get; init; }

    /// <summary>True when it is given nothing at all now, and its own work is not the reason.</summary>
    public bool IsBarred => LimitedBecause is not null && Busy < Total && Busy + Quarantined >= Usable;
}

/// <summary>One backend's breaker.</summary>
/// <param name="Backend">Its name.</param>
/// <param name="State">Whether it is given work.</param>
/// <param name="Outcomes">Uses so far, by <see cref="UpstreamOutcome"/>.</param>
/// <param name="Changes">Steps so far.</param>
internal sealed record BreakerStatus(string Backend, BreakerState State, ImmutableArray<long> Outcomes, ImmutableDictionary<BreakerChange, long> Changes)
{
    /// <summary>Slots that are left empty because the backend bears no more.</summary>
    public int SaturatedSlots { get; init; }
}
