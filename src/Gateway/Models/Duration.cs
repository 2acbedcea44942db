using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LlmGateway.Gateway.Models;

/// <summary>Durations as people write them: <c>250ms</c>, <c>30s</c>, <c>10m</c>, <c>1h</c>, or <c>hh:mm:ss[.fff]</c>.</summary>
internal static class Duration
{
    private static readonly (string Unit, long Ticks)[] Units =
        [("ms", TimeSpan.TicksPerMillisecond), ("s", TimeSpan.TicksPerSecond), ("m", TimeSpan.TicksPerMinute), ("h", TimeSpan.TicksPerHour)];

    public static TimeSpan Parse(string text) =>
        TryParse(text, out var value) ? value : throw new FormatException($"'{text}' is not a duration");

    public static bool TryParse([NotNullWhen(true)] string? text, out TimeSpan value)
    {
        value = default;
        var trimmed = text.AsSpan().Trim();
        if (trimmed.Contains(':'))
        {
            return TimeSpan.TryParseExact(trimmed, [@"h\:mm\:ss", @"hh\:mm\:ss", @"h\:mm\:ss\.FFFFFFF", @"hh\:mm\:ss\.FFFFFFF"], CultureInfo.InvariantCulture, out value);
        }

        foreach (var (unit, ticks) in Units)
        {
            // Decimal, for 1.005 s is no binary number.
            if (trimmed.EndsWith(unit, StringComparison.Ordinal)
                && decimal.TryParse(trimmed[..^unit.Length].TrimEnd(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
                && number <= TimeSpan.MaxValue.Ticks / ticks)
            {
                value = TimeSpan.FromTicks((long)(number * ticks));
                return true;
            }
        }

        return false;
    }

    /// <summary>The shortest exact form.</summary>
    public static string Format(TimeSpan value)
    {
        for (var i = Units.Length - 1; i >= 0; i--)
        {
            var (unit, ticks) = Units[i];
            if (value != TimeSpan.Zero && value.Ticks % ticks == 0)
            {
                return (value.Ticks / ticks).ToString(CultureInfo.InvariantCulture) + unit;
            }
        }

        return value == TimeSpan.Zero ? "0s" : value.ToString("c", CultureInfo.InvariantCulture);
    }
}
