using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Tests.Scenarios;

public sealed class ArrivalScheduleTests
{
    [Fact]
    public void Of_FixedSteadyRate_IsEvenlySpaced()
    {
        var times = Times(new OpenStage("s", TimeSpan.FromSeconds(2), 1, 1, ArrivalPattern.Fixed), rate: 50);

        Assert.Equal(100, times.Length);
        Assert.Equal(Enumerable.Range(0, 100).Select(static i => i * 20.0), times.Select(static time => Math.Round(time.TotalMilliseconds, 3)));
    }

    [Theory]
    [InlineData(0, 2, 10, 100)]
    [InlineData(2, 0, 10, 100)]
    [InlineData(0.5, 1, 4, 30)]
    public void Of_FixedRamp_HasTheRatesIntegralAndItsShape(double from, double to, double seconds, int expected)
    {
        var times = Times(new OpenStage("s", TimeSpan.FromSeconds(seconds), from, to, ArrivalPattern.Fixed), rate: 10);

        Assert.Equal(expected, times.Length);
        Assert.Equal(times.Order(), times);
        Assert.All(times, time => Assert.InRange(time.TotalSeconds, 0, seconds));
        var firstHalf = ((3 * from) + to) / 8 * 10 * seconds;
        Assert.InRange(times.Count(time => time.TotalSeconds < seconds / 2), firstHalf - 1, firstHalf + 1);
    }

    [Fact]
    public void Of_Poisson_HasTheRateAndTheSpreadOfOne()
    {
        var times = Times(new OpenStage("s", TimeSpan.FromSeconds(1000), 1), rate: 20);

        // 20,000 expected, standard deviation 141; counts per second spread as much as their mean.
        Assert.InRange(times.Length, 19_400, 20_600);
        var perSecond = times.GroupBy(static time => (int)time.TotalSeconds).Select(static group => (double)group.Count()).ToArray();
        var mean = perSecond.Average();
        Assert.InRange(perSecond.Sum(count => (count - mean) * (count - mean)) / perSecond.Length / mean, 0.8, 1.2);
    }

    [Fact]
    public void Of_SameSeed_IsTheSame()
    {
        var stage = new OpenStage("s", TimeSpan.FromSeconds(10), 0, 4);

        Assert.Equal(ArrivalSchedule.Of(stage, 10, 7), ArrivalSchedule.Of(stage, 10, 7));
        Assert.NotEqual(ArrivalSchedule.Of(stage, 10, 7), ArrivalSchedule.Of(stage, 10, 8));
    }

    [Fact]
    public void Of_NoLoad_IsEmpty() => Assert.Empty(ArrivalSchedule.Of(new OpenStage("s", TimeSpan.FromSeconds(10), 0), 10, 1));

    private static TimeSpan[] Times(OpenStage stage, double rate) => [.. ArrivalSchedule.Of(stage, rate, seed: 3)];
}
