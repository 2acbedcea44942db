namespace LlmGateway.LoadTests.Scenarios;

/// <summary>When requests of an open stage are meant to start. Decided before the first one: no answer can change it.</summary>
internal static class ArrivalSchedule
{
    /// <summary>The intended starts from the stage's beginning, in order.</summary>
    /// <remarks>
    /// One construction for every shape: the expected number of arrivals up to a time grows by the rate's integral; an arrival is where
    /// it passes the next mark. Marks one apart give even spacing, exponentially spaced ones a Poisson process of that very rate.
    /// </remarks>
    public static IEnumerable<TimeSpan> Of(OpenStage stage, double rate, ulong seed)
    {
        var (from, to, seconds) = (stage.FromLoad * rate, stage.ToLoad * rate, stage.Duration.TotalSeconds);
        var all = (from + to) / 2 * seconds;
        var dice = new Dice(seed);
        var isFixed = stage.Pattern == ArrivalPattern.Fixed;
        for (var mark = isFixed ? 0 : dice.NextExponential(); mark < all; mark += isFixed ? 1 : dice.NextExponential())
        {
            yield return TimeSpan.FromSeconds(TimeOf(mark, from, to, seconds));
        }
    }

    // The root of from·t + (to−from)·t²/(2·seconds) = mark, in the form that survives from ≈ to.
    private static double TimeOf(double mark, double from, double to, double seconds)
    {
        var slope = (to - from) / seconds;
        var root = Math.Sqrt(Math.Max(0, (from * from) + (2 * slope * mark)));
        return from + root == 0 ? 0 : 2 * mark / (from + root);
    }
}
