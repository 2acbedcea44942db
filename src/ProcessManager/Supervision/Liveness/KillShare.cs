using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>May a replica that looks hung be ended?</summary>
internal enum KillAnswer
{
    /// <summary>Yes, now.</summary>
    Kill,

    /// <summary>Not yet: others of its pool are down for the same reason, or it has only just begun to look so.</summary>
    Wait,

    /// <summary>No: most of the pool look hung at once.</summary>
    Panic,
}

/// <summary>How much of one model's pool liveness may take. A value: each question makes the next one. Pure.</summary>
/// <remarks>
/// A third of the pool, at least one, may be down by liveness at a time: from the kill until the replica has come up again, for
/// <see cref="Memory"/> at most. When more than half of the pool look hung at once (two at least), the host is the suspect and nothing
/// is killed; when that lasts for <see cref="PanicPatience"/>, they are replaced within the share after all, one after the other: a gateway
/// must not need a person. So that those who hang together are seen together, each is waited for a moment (<c>gather</c>).
/// </remarks>
internal sealed record KillShare
{
    public const double Share = 0.34;

    public static readonly TimeSpan Memory = TimeSpan.FromMinutes(5);

    public static readonly TimeSpan PanicPatience = TimeSpan.FromMinutes(5);

    /// <summary>Who looks hung, since when.</summary>
    private ImmutableDictionary<int, TimeSpan> Hung { get; init; } = ImmutableDictionary<int, TimeSpan>.Empty;

    /// <summary>Who was killed and is not up again, since when.</summary>
    private ImmutableDictionary<int, TimeSpan> Down { get; init; } = ImmutableDictionary<int, TimeSpan>.Empty;

    private TimeSpan? PanicSince { get; init; }

    public bool IsPanic => PanicSince is not null;

    /// <summary>How many look hung or are being replaced for it.</summary>
    public int Suspects => Hung.Keys.Union(Down.Keys).Count();

    /// <summary>How many are being replaced for it.</summary>
    public int DownNow => Down.Count;

    /// <summary>One that looks hung asks whether it is to be ended.</summary>
    public (KillShare Next, KillAnswer Answer) Ask(int index, int poolSize, TimeSpan gather, TimeSpan now)
    {
        var next = this with
        {
            Hung = Hung.ContainsKey(index) ? Hung : Hung.Add(index, now),
            Down = Down.RemoveRange(Down.Where(one => now - one.Value >= Memory).Select(one => one.Key)),
        };
        next = next.WithPanic(poolSize, now);
        if (next.PanicSince is { } panic && now - panic < PanicPatience)
        {
            return (next, KillAnswer.Panic);
        }

        var isGathered = poolSize == 1 || now - next.Hung[index] >= gather;
        var others = next.Down.Keys.Count(other => other != index);
        return isGathered && others < Math.Max(1, (int)(Share * poolSize))
            ? (next with { Hung = next.Hung.Remove(index), Down = next.Down.SetItem(index, now) }, KillAnswer.Kill)
            : (next, KillAnswer.Wait);
    }

    /// <summary>One does not look hung any more, or its process is gone.</summary>
    public KillShare Well(int index, int poolSize, TimeSpan now) => Hung.ContainsKey(index) ? (this with { Hung = Hung.Remove(index) }).WithPanic(poolSize, now) : this;

    /// <summary>One has come up.</summary>
    public KillShare Up(int index, int poolSize, TimeSpan now) => (this with { Hung = Hung.Remove(index), Down = Down.Remove(index) }).WithPanic(poolSize, now);

    private KillShare WithPanic(int poolSize, TimeSpan now)
    {
        var isPanic = Suspects >= 2 && Suspects * 2 > poolSize;
        return isPanic == IsPanic ? this : this with { PanicSince = isPanic ? now : null };
    }
}
