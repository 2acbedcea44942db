using System.Globalization;

namespace LlmGateway.LoadTests.Scenarios;

/// <summary>How a quantity is spread: <c>64</c>, <c>16..256</c> (uniform), or <c>128~0.8</c> (log-normal: median and sigma, as prompt lengths are).</summary>
internal readonly record struct Distribution(double Low, double High, double Sigma = 0)
{
    /// <summary>Largest sample of a log-normal distribution, as a multiple of its median: a tail without end would be one request's luck.</summary>
    private const double LongestTail = 20;

    /// <summary>Always the same.</summary>
    public static Distribution Fixed(double value) => new(value, value);

    /// <summary>Evenly between two values, both included.</summary>
    public static Distribution Uniform(double low, double high) => new(low, high);

    /// <summary>A median and a tail to the right.</summary>
    public static Distribution LogNormal(double median, double sigma) => new(median, median, sigma);

    public static bool TryParse(string text, out Distribution value)
    {
        value = default;
        if (text.IndexOf("..", StringComparison.Ordinal) is > 0 and var dots)
        {
            value = new Distribution(Number(text[..dots]), Number(text[(dots + 2)..]));
        }
        else if (text.IndexOf('~', StringComparison.Ordinal) is > 0 and var tilde)
        {
            value = LogNormal(Number(text[..tilde]), Number(text[(tilde + 1)..]));
        }
        else
        {
            value = Fixed(Number(text));
        }

        return value.Low >= 0 && value.High >= value.Low && value.Sigma >= 0; // false for NaN
    }

    public double Sample(ref Dice dice)
    {
        if (Sigma > 0)
        {
            return Math.Min(Low * Math.Exp(Sigma * dice.NextNormal()), Low * LongestTail);
        }

        return Low == High ? Low : Low + ((High - Low) * dice.NextDouble());
    }

    public override string ToString() => Sigma > 0
        ? string.Create(CultureInfo.InvariantCulture, $"{Low}~{Sigma}")
        : Low == High ? Low.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{Low}..{High}");

    private static double Number(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) ? number : double.NaN;
}
