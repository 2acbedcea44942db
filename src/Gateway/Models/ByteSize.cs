using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LlmGateway.Gateway.Models;

/// <summary>A number of bytes that people write as <c>512MiB</c> or as a plain number.</summary>
internal readonly record struct ByteSize(long Bytes) : IComparable<ByteSize>
{
    private static readonly (string Unit, long Bytes)[] Units =
    [
        ("PiB", 1L << 50), ("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10),
        ("PB", 1_000_000_000_000_000), ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1),
    ];

    public static ByteSize FromMiB(long mebibytes) => new(mebibytes << 20);

    public static bool TryParse([NotNullWhen(true)] string? text, out ByteSize size)
    {
        size = default;
        var number = text.AsSpan().Trim();
        var factor = 1L;
        foreach (var (unit, bytes) in Units)
        {
            if (number.EndsWith(unit, StringComparison.OrdinalIgnoreCase))
            {
                number = number[..^unit.Length].TrimEnd();
                factor = bytes;
                break;
            }
        }

        if (!decimal.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value) || value > long.MaxValue / factor)
        {
            return false;
        }

        size = new ByteSize((long)(value * factor));
        return true;
    }

    public int CompareTo(ByteSize other) => Bytes.CompareTo(other.Bytes);

    public override string ToString()
    {
        foreach (var (unit, bytes) in Units.AsSpan(0, 5))
        {
            if (Bytes >= bytes && Bytes % bytes == 0)
            {
                return $"{Bytes / bytes}{unit}";
            }
        }

        return Bytes.ToString(CultureInfo.InvariantCulture);
    }
}
