using System.Collections.Immutable;
using System.Globalization;

namespace LlmGateway.LoadTests.Measuring;

/// <summary>A quantity that can have a limit: its option, and where its value stands.</summary>
/// <param name="Name">Without dashes: <c>max-p99-ttft</c>.</param>
/// <param name="Description">For <c>--help</c>.</param>
/// <param name="Unit">How limits are written.</param>
/// <param name="Value">The measured value, in milliseconds for durations; null when there is none.</param>
internal sealed record ThresholdKind(string Name, string Description, ThresholdUnit Unit, Func<StageReport, double?> Value)
{
    private bool IsLeast => Name.StartsWith("min-", StringComparison.Ordinal);

    public static ImmutableArray<ThresholdKind> All { get; } =
    [
        .. Durations("ttft", "time to the first token, streams", static stage => stage.FirstToken),
        .. Durations("total", "time to the last byte, whole answers", static stage => stage.Total),
        .. Durations("between-tokens", "time between tokens", static stage => stage.BetweenTokens),
        .. Durations("refusal", "time that a refusal takes", static stage => stage.Refusal),
        new("max-error-rate", "Share of requests that end in no answer and no honest refusal.", ThresholdUnit.Number, static stage => stage.ErrorRate),
        new("max-refusal-rate", "Share of requests that are refused (429, 503).", ThresholdUnit.Number, static stage => stage.RefusalRate),
        new("min-goodput", "Whole answers per second.", ThresholdUnit.Number, static stage => stage.GoodputPerSecond),
        new("min-offered", "Requests per second that the tester managed to send.", ThresholdUnit.Number, static stage => stage.OfferedPerSecond),
    ];

    /// <summary>Holds a value against a limit. What was not measured passes an upper limit, never a lower one.</summary>
    public bool Holds(double? value, double limit) => IsLeast ? value >= limit : value is not { } measured || measured <= limit;

    public string Format(double? value) => value switch
    {
        null => "none",
        { } measured when Unit == ThresholdUnit.Duration => measured.ToString("0.###", CultureInfo.InvariantCulture) + "ms",
        { } measured => measured.ToString("0.####", CultureInfo.InvariantCulture),
    };

    private static ThresholdKind[] Durations(string name, string what, Func<StageReport, LatencySummary?> summary) =>
    [
        new($"max-p50-{name}", $"Median {what}.", ThresholdUnit.Duration, stage => summary(stage)?.P50),
        new($"max-p99-{name}", $"99th percentile of the {what}.", ThresholdUnit.Duration, stage => summary(stage)?.P99),
    ];
}

/// <summary>How the limit of a threshold is written.</summary>
internal enum ThresholdUnit
{
    /// <summary><c>500ms</c>, <c>2s</c>.</summary>
    Duration,

    /// <summary>A plain number.</summary>
    Number,
}

/// <summary>A limit for a quantity, of the whole run or of one stage.</summary>
internal sealed record Threshold(ThresholdKind Kind, string? Stage, double Limit)
{
    /// <summary>Reads <c>[STAGE=]VALUE</c>.</summary>
    /// <exception cref="FormatException">It is not of that form; the message says how it should be.</exception>
    public static Threshold Parse(ThresholdKind kind, string text)
    {
        var split = text.IndexOf('=', StringComparison.Ordinal);
        var value = text[(split + 1)..];
        double limit;
        if (kind.Unit == ThresholdUnit.Duration)
        {
            limit = Duration.TryParse(value, out var duration)
                ? duration.TotalMilliseconds
                : throw new FormatException($"--{kind.Name}: '{value}' is no duration such as 500ms or 2s");
        }
        else if (!double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out limit))
        {
            throw new FormatException($"--{kind.Name}: '{value}' is no number");
        }

        return new Threshold(kind, split < 0 ? null : text[..split], limit);
    }

    public ThresholdResult Judge(RunReport report)
    {
        var stage = Stage is null ? report.Whole : report.Stages.First(stage => stage.Name == Stage);
        var value = Kind.Value(stage);
        return new ThresholdResult(Kind.Name, Stage, Kind.Format(Limit), Kind.Format(value), Kind.Holds(value, Limit));
    }
}

/// <summary>What became of a threshold.</summary>
internal sealed record ThresholdResult(string Name, string? Stage, string Limit, string Measured, bool Passed)
{
    public override string ToString() => $"--{Name} {(Stage is null ? "" : Stage + "=")}{Limit}: {(Passed ? "holds" : "FAILED")}, measured {Measured}";
}

/// <summary>Durations as people write them: <c>250ms</c>, <c>30s</c>, <c>10m</c>, <c>1h</c>.</summary>
internal static class Duration
{
    private static readonly (string Unit, double Milliseconds)[] Units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

    public static bool TryParse(string text, out TimeSpan value)
    {
        foreach (var (unit, milliseconds) in Units)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal)
                && double.TryParse(text.AsSpan(..^unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
                && number * milliseconds < TimeSpan.FromDays(30).TotalMilliseconds)
            {
                value = TimeSpan.FromMilliseconds(number * milliseconds);
                return true;
            }
        }

        value = default;
        return false;
    }
}
