using LlmGateway.LoadTests.Measuring;

namespace LlmGateway.LoadTests.Tests.Measuring;

public sealed class LatenciesTests
{
    [Fact]
    public void Add_Parts_EqualsTheWhole()
    {
        var random = new Random(1);
        var (whole, parts) = (new Latencies(), Enumerable.Range(0, 4).Select(static _ => new Latencies()).ToArray());
        for (var i = 0; i < 20_000; i++)
        {
            var value = Math.Exp(random.NextDouble() * 15);
            whole.RecordMicroseconds(value);
            parts[random.Next(parts.Length)].RecordMicroseconds(value);
        }

        var sum = new Latencies();
        Array.ForEach(parts, sum.Add);

        var (expected, actual) = (whole.Summary()!, sum.Summary()!);
        Assert.Equal(expected with { Mean = 0 }, actual with { Mean = 0 });
        Assert.Equal(expected.Mean, actual.Mean, 6);
        Assert.Equal(whole.Bars(), sum.Bars());
        Assert.Equal(20_000, sum.Bars().Sum(static bar => bar.Count));
    }

    [Fact]
    public void Summary_KnownValues_AreWithinAThousandth()
    {
        var latencies = new Latencies();
        for (var i = 1; i <= 1000; i++)
        {
            latencies.RecordMicroseconds(i * 1000);
        }

        var summary = latencies.Summary()!;
        Assert.Equal(1000, summary.Count);
        Assert.InRange(summary.P50, 499, 501.5);
        Assert.InRange(summary.P99, 989, 992);
        Assert.InRange(summary.Max, 1000, 1001);
        Assert.Equal(500.5, summary.Mean, 3);
    }

    [Fact]
    public void Record_OutsideTheRange_IsBounded()
    {
        var latencies = new Latencies();
        latencies.RecordMicroseconds(-5);
        latencies.RecordMicroseconds(1e15);

        Assert.Equal(2, latencies.Count);
        Assert.InRange(latencies.Percentile(100)!.Value, 3_599_000, 3_604_000);
    }

    [Fact]
    public void Summary_Nothing_IsNull() => Assert.Null(new Latencies().Summary());
}
