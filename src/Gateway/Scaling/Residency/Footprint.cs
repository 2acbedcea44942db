using System.Collections.Immutable;
using System.Globalization;

namespace LlmGateway.Gateway.Scaling.Residency;

/// <summary>Bytes of the machine's memory and of each of its GPUs', in the driver's order. What does not fit on one GPU is not helped by room on another.</summary>
internal readonly record struct Footprint
{
    private readonly ImmutableArray<long> _gpus;

    /// <param name="ram">Of the machine's memory.</param>
    /// <param name="gpus">Of each GPU's; those that are not named have none.</param>
    public Footprint(long ram, params ReadOnlySpan<long> gpus) => (Ram, _gpus) = (ram, gpus.TrimEnd(0).ToImmutableArray());

    public long Ram { get; }

    public ImmutableArray<long> Gpus => _gpus.IsDefault ? [] : _gpus;

    /// <summary>Of all GPUs together.</summary>
    public long Gpu => Gpus.Sum();

    public bool IsNothing => Ram == 0 && Gpus.IsEmpty;

    /// <summary>As what is left of a budget: false when any device is overdrawn.</summary>
    public bool IsCovered => Ram >= 0 && Gpus.All(bytes => bytes >= 0);

    /// <summary>True when giving this back helps where <paramref name="room"/> is overdrawn.</summary>
    public bool Relieves(Footprint room)
    {
        var (here, there) = (Gpus, room.Gpus);
        for (var i = 0; i < Math.Min(here.Length, there.Length); i++)
        {
            if (here[i] > 0 && there[i] < 0)
            {
                return true;
            }
        }

        return Ram > 0 && room.Ram < 0;
    }

    public static Footprint operator +(Footprint one, Footprint other) => Each(one, other, (left, right) => left + right);

    public static Footprint operator -(Footprint one, Footprint other) => Each(one, other, (left, right) => left - right);

    public static Footprint operator *(int count, Footprint one) => Each(one, default, (bytes, _) => count * bytes);

    public bool Equals(Footprint other) => Ram == other.Ram && Gpus.SequenceEqual(other.Gpus);

    public override int GetHashCode() => HashCode.Combine(Ram, Gpu);

    /// <summary>For a person: <c>2.5 GiB</c>, <c>2.5 GiB and 6 GiB on the GPU</c>, and with several <c>2.5 GiB and 6 GiB on GPU 1</c>.</summary>
    public override string ToString()
    {
        var gpus = Gpus;
        return string.Join(" and ", Enumerable.Range(0, gpus.Length).Where(i => gpus[i] != 0)
            .Select(i => $"{Text(gpus[i])} on {(gpus.Length == 1 ? "the GPU" : $"GPU {i}")}").Prepend(Text(Ram)));
    }

    private static Footprint Each(Footprint one, Footprint other, Func<long, long, long> of)
    {
        var (left, right) = (one.Gpus, other.Gpus);
        if (left.IsEmpty && right.IsEmpty)
        {
            return new(of(one.Ram, other.Ram));
        }

        var gpus = new long[Math.Max(left.Length, right.Length)];
        for (var i = 0; i < gpus.Length; i++)
        {
            gpus[i] = of(i < left.Length ? left[i] : 0, i < right.Length ? right[i] : 0);
        }

        return new(of(one.Ram, other.Ram), gpus);
    }

    private static string Text(long bytes) => bytes >= 10L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.#} GiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.#} MiB");
}
