using System.Globalization;

namespace LlmGateway.Gateway.Scaling.Residency;

/// <summary>Bytes of the machine's memory and of its GPUs', all GPUs together.</summary>
internal readonly record struct Footprint(long Ram, long Gpu)
{
    public bool IsNothing => Ram == 0 && Gpu == 0;

    /// <summary>As what is left of a budget: false when either is overdrawn.</summary>
    public bool IsCovered => Ram >= 0 && Gpu >= 0;

    public static Footprint operator +(Footprint one, Footprint other) => new(one.Ram + other.Ram, one.Gpu + other.Gpu);

    public static Footprint operator -(Footprint one, Footprint other) => new(one.Ram - other.Ram, one.Gpu - other.Gpu);

    public static Footprint operator *(int count, Footprint one) => new(count * one.Ram, count * one.Gpu);

    /// <summary>For a person: <c>2.5 GiB</c>, and <c>2.5 GiB and 6 GiB on the GPU</c>.</summary>
    public override string ToString() => Gpu == 0 ? Text(Ram) : $"{Text(Ram)} and {Text(Gpu)} on the GPU";

    private static string Text(long bytes) => bytes >= 10L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.#} GiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.#} MiB");
}
