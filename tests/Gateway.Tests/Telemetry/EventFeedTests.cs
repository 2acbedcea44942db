using LlmGateway.Gateway.Telemetry;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Telemetry;

public sealed class EventFeedTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly EventFeed _feed;
    private readonly EventBursts _bursts;

    public EventFeedTests()
    {
        _feed = new EventFeed(_time);
        _bursts = new EventBursts(_feed, _time);
    }

    public void Dispose() => _bursts.Dispose();

    [Fact]
    public void After_AnId_GivesWhatCameLaterInOrder()
    {
        Publish(3);
        var first = _feed.Last(3)[0].Id;
        Assert.Equal(["e1", "e2"], _feed.After(first).Events.Select(one => one.Message));
        Assert.Equal(["e1"], _feed.After(first, most: 1).Events.Select(one => one.Message));
        Assert.Empty(_feed.After(_feed.LastId).Events);
        Assert.False(_feed.After(first).HasGap);
    }

    [Fact]
    public void After_AnIdOfAnEarlierRun_GivesAllOfThisOne()
    {
        Publish(2);
        var old = _feed.LastId;
        _time.Advance(TimeSpan.FromSeconds(1));
        var next = new EventFeed(_time);
        next.Publish(EventKind.Gateway, "gateway", "again");
        Assert.Equal(["again"], next.After(old).Events.Select(one => one.Message));
        Assert.Equal(["again"], next.After(long.MaxValue).Events.Select(one => one.Message));
        Assert.True(next.LastId is > 0 and < 1L << 53);
    }

    [Fact]
    public void Publish_BeyondTheCapacity_ForgetsTheOldestAndSaysSo()
    {
        Publish(1);
        var first = _feed.LastId;
        Publish(EventFeed.Capacity);
        Assert.False(_feed.After(first).HasGap);
        Publish(1);
        Assert.True(_feed.After(first).HasGap);
        Assert.Equal(EventFeed.Capacity, _feed.After(0).Events.Length);
        Assert.False(_feed.After(0).HasGap);
    }

    [Fact]
    public void More_CompletesWithTheNextEventAndNotBefore()
    {
        var page = _feed.After(_feed.LastId);
        Assert.False(page.More.IsCompleted);
        Publish(1);
        Assert.True(page.More.IsCompleted);
        Assert.False(_feed.After(0).More.IsCompleted);
    }

    [Fact]
    public void Burst_TellsTheFirstAtOnceAndTheOthersAsACount()
    {
        for (var i = 0; i < 50; i++)
        {
            _bursts.Count(EventKind.Shed, "m", "requests are refused (queue_full)");
        }

        Assert.Equal(["m: requests are refused (queue_full)."], _feed.Last(9).Select(one => one.Message));
        _time.Advance(EventBursts.Window);
        Assert.EndsWith("49 more in 10 s.", _feed.Last(1)[0].Message, StringComparison.Ordinal);

        // It has paused: the next one is a new burst.
        _time.Advance(EventBursts.Window);
        _bursts.Count(EventKind.Shed, "m", "requests are refused (queue_full)");
        Assert.Equal(3, _feed.Last(9).Length);
    }

    [Fact]
    public void Burst_OfDifferentThings_AreSeparate()
    {
        _bursts.Count(EventKind.Shed, "m", "a");
        _bursts.Count(EventKind.Shed, "n", "a");
        _bursts.Count(EventKind.Shed, "m", "b");
        Assert.Equal(3, _feed.Last(9).Length);
    }

    private void Publish(int count)
    {
        for (var i = 0; i < count; i++)
        {
            _feed.Publish(EventKind.State, "m/0", $"e{i}");
        }
    }
}
