using System.Net;
using CsCheck;
using LlmGateway.Gateway.Keys;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Keys;

public sealed class FailedAttemptsTests
{
    private static readonly IPAddress One = IPAddress.Parse("192.0.2.1");
    private static readonly IPAddress Other = IPAddress.Parse("192.0.2.2");

    private readonly FakeTimeProvider _time = new();
    private readonly FailedAttempts _failed;

    public FailedAttemptsTests() => _failed = new FailedAttempts(_time);

    [Fact]
    public void Count_PastTheBurst_TellsToWaitAndSaysOnceThatItIsNew()
    {
        Fill(One);
        Assert.Equal((TimeSpan.FromSeconds(1), true), _failed.Count(One));
        Assert.Equal((TimeSpan.FromSeconds(1), false), _failed.Count(One));
        Assert.Null(_failed.Count(Other));
    }

    [Fact]
    public void Count_AfterTheWait_IsOneAttemptMore()
    {
        Fill(One);
        _time.Advance(_failed.Count(One)!.Value.Wait);
        Assert.Null(_failed.Count(One));
        Assert.Equal(false, _failed.Count(One)?.IsFirst);
        _time.Advance(TimeSpan.FromMinutes(2));
        Fill(One);
        Assert.Equal(true, _failed.Count(One)?.IsFirst);
    }

    [Theory]
    [InlineData("2001:db8:1:2::1", "2001:db8:1:2:ffff::", true)]
    [InlineData("2001:db8:1:2::1", "2001:db8:1:3::1", false)]
    [InlineData("::ffff:192.0.2.9", "192.0.2.9", true)]
    [InlineData("192.0.2.9", "192.0.2.10", false)]
    public void Count_Sources_AreAddressesOrNetworks(string one, string other, bool areOne)
    {
        Fill(IPAddress.Parse(one));
        Assert.Equal(areOne, _failed.Count(IPAddress.Parse(other)) is not null);
    }

    [Fact]
    public void Count_MoreSourcesThanFit_ShareOneBucketUntilOthersAreEmpty()
    {
        for (var i = 0; i < FailedAttempts.MostSources; i++)
        {
            Assert.Null(_failed.Count(new IPAddress(0x0A000000 + i)));
        }

        Fill(One);
        Assert.NotNull(_failed.Count(Other));
        _time.Advance(TimeSpan.FromMinutes(1.1));
        Assert.Null(_failed.Count(Other));
        Fill(One);
        Assert.Null(_failed.Count(Other));
    }

    [Fact]
    public void Count_AnyHistory_LetsNoMoreThroughThanBurstAndTime() => Gen.Int[0, 3000].Array[1, 200].Sample(waits =>
    {
        var time = new FakeTimeProvider();
        var failed = new FailedAttempts(time);
        var passed = 0;
        var elapsed = TimeSpan.Zero;
        foreach (var wait in waits)
        {
            time.Advance(TimeSpan.FromMilliseconds(wait));
            elapsed += TimeSpan.FromMilliseconds(wait);
            passed += failed.Count(One) is null ? 1 : 0;
        }

        return passed <= FailedAttempts.Burst + elapsed.TotalSeconds + 1;
    });

    [Fact]
    public void Count_NoAddress_IsASourceLikeAnyOther()
    {
        Fill(null);
        Assert.NotNull(_failed.Count(null));
    }

    private void Fill(IPAddress? source)
    {
        for (var i = 0; i < FailedAttempts.Burst; i++)
        {
            Assert.Null(_failed.Count(source));
        }
    }
}
