using CsCheck;
using LlmGateway.Gateway.Scheduling.Shedding;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class SheddingTests
{
    [Fact]
    public void RetryAfter_AnyWait_LiesBetween1And30Seconds() =>
        Gen.Select(Gen.Double[0, 1e9], Gen.Double[0, 1]).Sample((seconds, random) => WaitForecast.RetryAfter(TimeSpan.FromSeconds(seconds), random).TotalSeconds is >= 1 and <= 30);

    [Theory]
    [InlineData(0, 1, 4, new[] { 0.1, 0.2, 0.3, 0.4 }, 0.1)]
    [InlineData(2, 1, 4, new[] { 0.4, 0.1, 0.3, 0.2 }, 0.3)]
    [InlineData(4, 1, 4, new[] { 0.1, 0.2, 0.3, 0.4 }, 1.1)]
    [InlineData(9, 1, 4, new[] { 0.1, 0.2, 0.3, 0.4 }, 2.2)]
    [InlineData(0, 3, 4, new[] { 0.1, 0.2, 0.3, 0.4 }, 0.3)]
    [InlineData(0, 1, 4, new[] { 0.5, 0.6 }, 0.0)]
    [InlineData(2, 1, 4, new[] { 0.5, 0.6 }, 0.5)]
    [InlineData(3, 1, 0, new double[0], 4.0)]
    public void Wait_ByWhenSlotsComeFree_IsThatOfOnesOwn(int ahead, int slots, int capacity, double[] busy, double seconds) =>
        Assert.Equal(seconds, WaitForecast.Wait(ahead, slots, 1, busy, capacity).TotalSeconds, 6);

    [Theory]
    [InlineData(10, 10, 1, 1, 10)] // alone: all of its own
    [InlineData(10, 0, 1, 2, 1)] // new beside one other key: one of the other's first
    [InlineData(10, 0, 5, 6, 1)] // heavier: still one may stand before it
    [InlineData(10, 0, 1, 4, 3)] // three other keys
    [InlineData(10, 4, 1, 2, 9)] // own ones, and as many of the other, but no more than wait
    [InlineData(30, 4, 2, 3, 7)] // twice the weight: half as many of the other's
    public void Ahead_FairOrder_IsOnesOwnAndTheOthersShare(int inBand, int ofKey, int weight, int weights, int ahead) =>
        Assert.Equal(ahead, WaitForecast.Ahead(inBand, ofKey, weight, weights));

    [Fact]
    public void Wait_AnyNumbers_IsFiniteAndGrowsWithThoseAhead() =>
        Gen.Select(Gen.Int[0, 1_000_000], Gen.Int[1, 64], Gen.Double[0, 3600], Gen.Double[0, 3600].Array[0, 64], Gen.Int[0, 64]).Sample((ahead, slots, hold, busy, capacity) =>
        {
            busy = [.. busy.Take(capacity).Select(left => Math.Min(left, hold))];
            var wait = WaitForecast.Wait(ahead, slots, hold, busy, capacity);
            return wait >= TimeSpan.Zero && WaitForecast.Wait(ahead + 1, slots, hold, busy, capacity) >= wait;
        });

    [Fact]
    public void Trend_ALine_IsFound()
    {
        var trend = default(Trend);
        Assert.Equal(0, trend.At(100));
        foreach (var size in new[] { 10, 50, 200, 30, 90 })
        {
            trend.Record(size, 0.5 + (size * 0.01));
        }

        Assert.Equal(10.5, trend.At(1000), 6);
        Assert.Equal(0.5, trend.At(0), 6);
    }

    [Fact]
    public void Trend_SizesAllAlike_SayNothingAboutOthers()
    {
        var trend = default(Trend);
        for (var i = 0; i < 50; i++)
        {
            trend.Record(100, 2);
        }

        Assert.Equal((2, 2, 2), (trend.At(1), trend.At(100_000), trend.Mean));
    }

    [Fact]
    public void Trend_ServersBecomeSlower_FollowsSoon()
    {
        var trend = default(Trend);
        for (var i = 0; i < 1000; i++)
        {
            trend.Record(100, 1);
        }

        for (var i = 0; i < 60; i++)
        {
            trend.Record(100, 5);
        }

        Assert.InRange(trend.At(100), 4.5, 5);
    }

    [Fact]
    public void Trend_AnyHistory_NeverFallsWithSizeAndIsNeverNegative() =>
        Gen.Select(Gen.Select(Gen.Double[0, 1e6], Gen.Double[0, 1e4]).Array[0, 40], Gen.Double[0, 1e6], Gen.Double[0, 1e6]).Sample((seen, a, b) =>
        {
            var trend = default(Trend);
            foreach (var (size, seconds) in seen)
            {
                trend.Record(size, seconds);
            }

            return trend.At(Math.Min(a, b)) >= 0 && trend.At(Math.Max(a, b)) >= trend.At(Math.Min(a, b)) && double.IsFinite(trend.At(a));
        });
}
