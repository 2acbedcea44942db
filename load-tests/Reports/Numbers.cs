using System.Globalization;

namespace LlmGateway.LoadTests.Reports;

/// <summary>Numbers as people read them.</summary>
internal static class Numbers
{
    public static string Milliseconds(double? value) => value switch
    {
        null => "–",
        < 1 => Text(value.Value, "0.###") + " ms",
        < 100 => Text(value.Value, "0.0") + " ms",
        < 1000 => Text(value.Value, "0") + " ms",
        _ => Text(value.Value / 1000, "0.00") + " s",
    };

    public static string Rate(double? value) => value is { } rate ? Text(rate, rate < 100 ? "0.0" : "0") : "–";

    public static string Count(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    public static string Percent(double share) => share == 0 ? "0" : Text(share * 100, "0.##") + " %";

    public static string Seconds(double value) => Text(value, "0.##") + " s";

    public static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
