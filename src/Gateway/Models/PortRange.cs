using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LlmGateway.Gateway.Models;

/// <summary>Ports <paramref name="First"/> to <paramref name="Last"/>, both included; written <c>18100-18199</c>.</summary>
internal readonly record struct PortRange(int First, int Last)
{
    public int Count => Last - First + 1;

    public static bool TryParse([NotNullWhen(true)] string? text, out PortRange range)
    {
        range = default;
        var parts = (text ?? "").Split('-', StringSplitOptions.TrimEntries);
        if (parts.Length is not (1 or 2)
            || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var first)
            || !int.TryParse(parts[^1], NumberStyles.None, CultureInfo.InvariantCulture, out var last)
            || first < 1 || last > 65535 || first > last)
        {
            return false;
        }

        range = new PortRange(first, last);
        return true;
    }

    public override string ToString() => $"{First}-{Last}";
}
