namespace LlmGateway.Gateway.Scheduling.Breaking;

/// <summary>Successes and faults of the last while, in ten parts that are forgotten one by one. Values in, values out.</summary>
/// <param name="length">The while.</param>
internal sealed class OutcomeWindow(TimeSpan length)
{
    private const int Parts = 10;

    private readonly (long Part, int Passed, int Failed)[] _parts = new (long, int, int)[Parts];

    public void Record(bool passed, TimeSpan now)
    {
        var part = PartOf(now);
        ref var slot = ref _parts[part % Parts];
        slot = slot.Part == part ? slot : (part, 0, 0);
        slot = passed ? slot with { Passed = slot.Passed + 1 } : slot with { Failed = slot.Failed + 1 };
    }

    /// <summary>What is remembered at that time.</summary>
    public (int Passed, int Failed) Count(TimeSpan now)
    {
        var oldest = PartOf(now) - Parts + 1;
        var (passed, failed) = (0, 0);
        foreach (var part in _parts)
        {
            (passed, failed) = part.Part >= oldest ? (passed + part.Passed, failed + part.Failed) : (passed, failed);
        }

        return (passed, failed);
    }

    public void Clear() => Array.Clear(_parts);

    // Parts are numbered from one, so that an empty one is of no part.
    private long PartOf(TimeSpan now) => 1 + (now.Ticks / Math.Max(1, length.Ticks / Parts));
}
