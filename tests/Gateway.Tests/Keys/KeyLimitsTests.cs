using CsCheck;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Keys;

public sealed class KeyLimitsTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Requests_PastTheMinutes_WaitForTheNext()
    {
        var limits = Limits(new KeyOptions { Name = "a", RequestsPerMinute = 6 });
        Assert.All(Enumerable.Range(0, 6), _ => Assert.NotNull(limits.Enter("a", 1).Pass));
        var (pass, limit, wait) = limits.Enter("a", 1);
        Assert.Equal((null, KeyLimit.Rate), (pass, limit));
        Assert.Equal(10, wait.TotalSeconds, 3);
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.NotNull(limits.Enter("a", 1).Pass);
        Assert.Null(limits.Enter("a", 1).Pass);
    }

    [Fact]
    public void Requests_ThatCameToNothing_CostNothing()
    {
        var limits = Limits(new KeyOptions { Name = "a", RequestsPerMinute = 2, TokensPerMinute = 100 });
        for (var i = 0; i < 50; i++)
        {
            var pass = limits.Enter("a", 60).Pass;
            Assert.NotNull(pass);
            pass.Settle(isServed: false, tokens: 60);
            pass.Settle(isServed: true, tokens: 60);
        }

        Assert.NotNull(limits.Enter("a", 60).Pass);
    }

    [Fact]
    public void Tokens_AreSettledByWhatTheAnswerSays()
    {
        var limits = Limits(new KeyOptions { Name = "a", TokensPerMinute = 600 });
        limits.Enter("a", 500).Pass!.Settle(true, 100);
        limits.Enter("a", 500).Pass!.Settle(true, 900);

        // 400 over: that much must flow back before anything may be taken.
        Assert.Equal(40 + 10, limits.Enter("a", 100).Wait.TotalSeconds, 3);
        _time.Advance(TimeSpan.FromSeconds(50));
        Assert.NotNull(limits.Enter("a", 100).Pass);
    }

    [Fact]
    public void Tokens_MoreThanAMinutes_MayGoWhenTheBucketIsFull()
    {
        var limits = Limits(new KeyOptions { Name = "a", TokensPerMinute = 600 });
        Assert.NotNull(limits.Enter("a", 5000).Pass);
        Assert.Null(limits.Enter("a", 1).Pass);
    }

    [Fact]
    public void Concurrency_IsGivenBackOnce()
    {
        var limits = Limits(new KeyOptions { Name = "a", MaxConcurrent = 2 });
        var first = limits.Enter("a", 1).Pass!;
        Assert.NotNull(limits.Enter("a", 1).Pass);
        Assert.Equal((null, KeyLimit.Concurrency), (limits.Enter("a", 1).Pass, limits.Enter("a", 1).Limit));
        first.Settle(true, null);
        first.Settle(true, null);
        Assert.NotNull(limits.Enter("a", 1).Pass);
        Assert.Null(limits.Enter("a", 1).Pass);
    }

    [Fact]
    public void OtherKeys_AreNotLimited()
    {
        var limits = Limits(new KeyOptions { Name = "a", MaxConcurrent = 1 }, new KeyOptions { Name = "b" });
        Assert.All(Enumerable.Range(0, 10), _ => Assert.NotNull(limits.Enter("b", 1).Pass));
        Assert.NotNull(limits.Enter("unknown", 1).Pass);
    }

    [Fact]
    public void NewConfiguration_ChangedLimits_BeginAnewAndOthersGoOn()
    {
        var first = Configured.Gateway("m") with { Keys = [new KeyOptions { Name = "a", MaxConcurrent = 1 }, new KeyOptions { Name = "b", MaxConcurrent = 1 }] };
        var live = new LiveCatalogue(new ModelCatalogue(first));
        var limits = new KeyLimits(live, _time);
        Assert.NotNull(limits.Enter("a", 1).Pass);
        Assert.NotNull(limits.Enter("b", 1).Pass);
        live.Replace(new ModelCatalogue(first with { Keys = [new KeyOptions { Name = "a", MaxConcurrent = 2 }, new KeyOptions { Name = "b", MaxConcurrent = 1 }] }));
        Assert.NotNull(limits.Enter("a", 1).Pass);
        Assert.Null(limits.Enter("b", 1).Pass);
    }

    // Whatever is asked when: never more in a minute than the bucket and what flows into it meanwhile.
    [Fact]
    public void Bucket_AnyHistory_NeverGivesMoreThanItMay() =>
        Gen.Select(Gen.Double[0, 50], Gen.Int[0, 20_000]).Array[0, 100].Sample(asks =>
        {
            var now = TimeSpan.Zero;
            var bucket = new RateBucket(60, now);
            var given = 0.0;
            foreach (var (amount, wait) in asks)
            {
                now += TimeSpan.FromMilliseconds(wait);
                if (bucket.Wait(amount, now) == TimeSpan.Zero)
                {
                    bucket.Take(amount, now);
                    given += amount;
                }

                Assert.True(given <= 60 + now.TotalSeconds + 1e-3);
            }
        });

    private KeyLimits Limits(params KeyOptions[] keys) => new(new LiveCatalogue(new ModelCatalogue(Configured.Gateway("m") with { Keys = keys })), _time);
}
