namespace LlmGateway.LoadTests.Scenarios;

/// <summary>Randomness that a seed and a number repeat exactly, on every machine and in any order of calls for different numbers.</summary>
internal struct Dice(ulong seed, ulong number = 0)
{
    private ulong _state = Mix(seed) ^ Mix(number + 0x632BE59BD9B4E019UL);

    /// <summary>64 random bits.</summary>
    public ulong Next() => Mix(_state += 0x9E3779B97F4A7C15UL);

    /// <summary>0 up to, but not, 1.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>0 up to, but not, <paramref name="limit"/>.</summary>
    public int NextInt(int limit) => (int)(NextDouble() * limit);

    /// <summary>Exponential with mean 1: the gap between arrivals of a Poisson process of rate 1.</summary>
    public double NextExponential() => -Math.Log(1 - NextDouble());

    /// <summary>Standard normal.</summary>
    public double NextNormal() => Math.Sqrt(-2 * Math.Log(1 - NextDouble())) * Math.Cos(2 * Math.PI * NextDouble());

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
