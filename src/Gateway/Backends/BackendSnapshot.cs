using System.Collections.Immutable;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Backends;

/// <summary>What a waiting request may hope for.</summary>
internal enum BackendCondition
{
    /// <summary>Takes work now.</summary>
    Ready,

    /// <summary>Takes none now, but may soon without a person's help.</summary>
    Coming,

    /// <summary>Is not loaded; that somebody waits for it may change that.</summary>
    Loadable,

    /// <summary>Was tried and given up for the time being.</summary>
    Failed,

    /// <summary>Is not wanted.</summary>
    Stopped,
}

/// <summary>One backend as it was last published.</summary>
/// <param name="Name"><c>model/index</c>.</param>
/// <param name="Condition">What a waiting request may hope for.</param>
/// <param name="Backend">The living server, or null.</param>
/// <param name="Slots">Requests that it works on at once; 0 until it is known.</param>
/// <param name="Replica">The supervisor's status, for a process of our own.</param>
/// <param name="NotRoutableBecause">One sentence for a person, or null when it takes work.</param>
internal sealed record BackendEntry(
    string Name, BackendCondition Condition, Backend? Backend, int Slots, ReplicaStatus? Replica, string? NotRoutableBecause)
{
    /// <summary>What the readiness probe of a remote says; of a process of our own its <see cref="Replica"/> tells.</summary>
    public ProbeHealth Readiness { get; init; }
}

/// <summary>The backends of one model: immutable, read without locks.</summary>
internal sealed record BackendSnapshot(string Model, ImmutableArray<BackendEntry> Entries)
{
    public bool AnyReady => Entries.Any(entry => entry.Condition == BackendCondition.Ready);

    /// <summary>The best that a waiting request may hope for.</summary>
    public BackendCondition Best => Entries.IsEmpty ? BackendCondition.Stopped : Entries.Min(entry => entry.Condition);
}
