namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>A straight line through what was seen lately: seconds by size. Old observations fade. Values in, values out; guarded by the queue's lock.</summary>
internal struct Trend
{
    /// <summary>What is left of an observation's weight after the next one: the last 20 or so count.</summary>
    private const double Fading = 0.95;

    private double _weight;
    private double _size;
    private double _seconds;
    private double _sizeSquared;
    private double _product;

    /// <summary>True once anything was seen.</summary>
    public readonly bool IsKnown => _weight > 0;

    /// <summary>The usual seconds; zero while nothing is known.</summary>
    public readonly double Mean => IsKnown ? _seconds / _weight : 0;

    public void Record(double size, double seconds)
    {
        _weight = (_weight * Fading) + 1;
        _size = (_size * Fading) + size;
        _seconds = (_seconds * Fading) + seconds;
        _sizeSquared = (_sizeSquared * Fading) + (size * size);
        _product = (_product * Fading) + (size * seconds);
    }

    /// <summary>What to expect for that size; zero while nothing is known. Larger never means shorter.</summary>
    public readonly double At(double size)
    {
        if (!IsKnown)
        {
            return 0;
        }

        var (meanSize, meanSeconds) = (_size / _weight, _seconds / _weight);
        var variance = (_sizeSquared / _weight) - (meanSize * meanSize);

        // Sizes that are all alike say nothing about others.
        var slope = variance > 1e-6 * meanSize * meanSize ? Math.Max(0, ((_product / _weight) - (meanSize * meanSeconds)) / variance) : 0;
        return Math.Max(0, meanSeconds + (slope * (size - meanSize)));
    }
}
