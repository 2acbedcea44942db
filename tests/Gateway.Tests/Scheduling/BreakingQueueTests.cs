using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

/// <summary>What breakers do to a queue's slots.</summary>
public sealed class BreakingQueueTests : IDisposable
{
    private static readonly Model Model = Configured.Model(
        queue: new QueueOptions { MaxDepth = 1000, Timeout = TimeSpan.FromHours(1) },
        change: options => options with { Breaker = new BreakerOptions { MinimumThroughput = 4 }, SlowStart = TimeSpan.FromSeconds(8) });

    private readonly FakeTimeProvider _time = new();
    private readonly ModelQueue _queue;
    private readonly Backend[] _backends = [Servers.Backend(0), Servers.Backend(1)];

    public BreakingQueueTests()
    {
        _queue = new ModelQueue(Model, _time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        Publish(BackendCondition.Ready, BackendCondition.Ready);
    }

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Faults_OneFailsFast_GetsNoMoreWorkAndTheOtherDoes()
    {
        var served = new List<string>();
        for (var i = 0; i < 40; i++)
        {
            using var lease = await AskAsync();
            served.Add(lease.Backend.Name);
            lease.End(LeaseEnd.Finished, lease.Backend == _backends[0] ? UpstreamOutcome.Fault : UpstreamOutcome.Ok);
        }

        Assert.Equal(4, served.Count(name => name == "m/0"));
        Assert.Equal([BreakerState.Open, BreakerState.Closed], _queue.Status().Breakers.Select(breaker => breaker.State));
        Assert.Equal(4, _queue.Status().Breakers[0].Outcomes[(int)UpstreamOutcome.Fault]);
    }

    [Fact]
    public async Task Faults_OfTheOnlyOne_NeverCloseTheModel()
    {
        Publish(BackendCondition.Ready, BackendCondition.Coming);
        for (var i = 0; i < 40; i++)
        {
            using var lease = await AskAsync();
            lease.End(LeaseEnd.Finished, UpstreamOutcome.Fault);
        }
    }

    [Fact]
    public async Task Fault60_HalfOpen_ManyWait_ExactlyOneReachesTheBackend()
    {
        var (leases, waiting) = await BreakAndFillAsync();
        _time.Advance(TimeSpan.FromSeconds(7));
        var trial = Assert.Single(await DoneAsync(waiting, 1));
        Assert.Equal(_backends[0], trial.Backend);
        Assert.Equal(BreakerState.HalfOpen, _queue.Status().Breakers[0].State);

        // Its first token is proof enough; an answer may take an hour.
        trial.MarkFirstToken(TimeSpan.FromMilliseconds(10));
        Assert.Equal(BreakerState.Closed, _queue.Status().Breakers[0].State);
        Assert.Equal(1, _queue.Status().Slots[0].Usable);
        foreach (var usable in new[] { 1, 2, 3, 4 })
        {
            Assert.Equal(usable, _queue.Status().Slots[0].Usable);
            await DoneAsync(waiting, usable);
            _time.Advance(TimeSpan.FromSeconds(usable == 1 ? 4 : 2));
        }

        Assert.Equal(4, leases.Count);
    }

    [Fact]
    public async Task HalfOpen_TrialFails_IsOpenForLonger()
    {
        var (_, waiting) = await BreakAndFillAsync();
        _time.Advance(TimeSpan.FromSeconds(7));
        var trial = Assert.Single(await DoneAsync(waiting, 1));
        trial.End(LeaseEnd.Finished, UpstreamOutcome.Fault);
        trial.Dispose();
        _time.Advance(TimeSpan.FromSeconds(7));
        Assert.Single(await DoneAsync(waiting, 1));
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(2, (await DoneAsync(waiting, 2)).Count);
    }

    [Fact]
    public async Task Status_BackendThatIsGivenLess_SaysWhyAtEachStep()
    {
        var (_, waiting) = await BreakAndFillAsync();
        Assert.Contains("is left alone for another", Slots(0).LimitedBecause, StringComparison.Ordinal);
        Assert.True(Slots(0).IsBarred);
        Assert.Null(Slots(1).LimitedBecause);
        Assert.False(Slots(1).IsBarred);

        _time.Advance(TimeSpan.FromSeconds(7));
        var trial = Assert.Single(await DoneAsync(waiting, 1));
        Assert.Contains("one request tries it", Slots(0).LimitedBecause, StringComparison.Ordinal);
        Assert.True(Slots(0).IsBarred);

        trial.MarkFirstToken(TimeSpan.FromMilliseconds(10));
        Assert.Equal("It has just come back: 1 of its 4 slots are open so far.", Slots(0).LimitedBecause);
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(Slots(0).LimitedBecause);

        // Given up, and its server still works on it.
        trial.Dispose();
        Assert.Equal("Given up and not yet seen idle: 1 of its 4 slots.", Slots(0).LimitedBecause);
    }

    [Fact]
    public async Task Exit_OpensAtOnceAndReadinessLetsOneTry()
    {
        _backends[0] = Servers.Backend(0, generation: 1);
        _queue.Update(Servers.Snapshot(Servers.None(BackendCondition.Coming), Servers.Entry(_backends[1], 4)));
        Assert.Equal(BreakerState.Open, _queue.Status().Breakers[0].State);
        Publish(BackendCondition.Ready, BackendCondition.Stopped);
        var asked = Enumerable.Range(0, 8).Select(_ => AskAsync().AsTask()).ToArray();
        Assert.Equal(1, asked.Count(task => task.IsCompleted));
        Assert.Equal(BreakerState.HalfOpen, _queue.Status().Breakers[0].State);
        using var lease = await asked.First(task => task.IsCompleted);
        lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
    }

    [Fact]
    public async Task HalfOpen_RequestThatNeedsAllSlots_MayTry()
    {
        _backends[0] = Servers.Backend(0, generation: 1);
        Publish(BackendCondition.Ready, BackendCondition.Stopped);
        using var lease = await _queue.AcquireAsync(new QueueTicket(Asked.Of(Model, slots: 4)), Ct).AsTask().WaitAsync(Ct);
        Assert.Equal(4, lease.Slots);
    }

    [Fact]
    public async Task Open_TheOtherOneGoesAway_IsTriedAtOnce()
    {
        await BreakAsync();
        Publish(BackendCondition.Ready, BackendCondition.Coming);
        Assert.Equal(BreakerState.HalfOpen, _queue.Status().Breakers[0].State);
        using var lease = await AskAsync();
        Assert.Equal(_backends[0], lease.Backend);
    }

    public void Dispose() => _queue.Dispose();

    private SlotStatus Slots(int index) => _queue.Status().Slots.Single(slots => slots.Backend == _backends[index].Name);

    private ValueTask<SlotLease> AskAsync() => _queue.AcquireAsync(new QueueTicket(Asked.Of(Model)), Ct);

    private void Publish(BackendCondition first, BackendCondition second) =>
        _queue.Update(Servers.Snapshot(Servers.Entry(_backends[0], 4, first), Servers.Entry(_backends[1], 4, second)));

    private async Task BreakAsync()
    {
        while (_queue.Status().Breakers[0].State == BreakerState.Closed)
        {
            using var lease = await AskAsync();
            lease.End(LeaseEnd.Finished, lease.Backend == _backends[0] ? UpstreamOutcome.Fault : UpstreamOutcome.Neutral);
        }
    }

    /// <summary>The first one is open, the other one full, and twenty wait.</summary>
    private async Task<(List<SlotLease> Held, List<Task<SlotLease>> Waiting)> BreakAndFillAsync()
    {
        await BreakAsync();
        var held = new List<SlotLease>();
        for (var i = 0; i < 4; i++)
        {
            held.Add(await AskAsync());
        }

        Assert.All(held, lease => Assert.Equal(_backends[1], lease.Backend));
        return (held, [.. Enumerable.Range(0, 20).Select(_ => AskAsync().AsTask())]);
    }

    /// <summary>Those of the waiting that have their slot by now: exactly so many.</summary>
    private async Task<List<SlotLease>> DoneAsync(List<Task<SlotLease>> waiting, int count)
    {
        Assert.Equal(waiting.Count - count, _queue.Status().Depth);
        while (waiting.Count(task => task.IsCompleted) < count)
        {
            await Task.WhenAny(waiting.Where(task => !task.IsCompleted)).WaitAsync(Ct);
        }

        return [.. await Task.WhenAll(waiting.Where(task => task.IsCompleted))];
    }
}
