using CsCheck;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling.Breaking;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class BreakerTests
{
    private static readonly BreakerOptions Options = new() { MinimumThroughput = 4, Window = TimeSpan.FromSeconds(10), BreakDuration = TimeSpan.FromSeconds(5) };

    private readonly Breaker _breaker = new(Options, TimeSpan.FromSeconds(10));

    [Fact]
    public void Faults_TooFewToJudge_LeaveItClosed()
    {
        Assert.All(Enumerable.Range(0, 3), _ => Assert.Null(Record(UpstreamOutcome.Fault)));
        Assert.Equal(new BreakerChange(BreakerState.Closed, BreakerState.Open, BreakerReason.Faults), Record(UpstreamOutcome.Fault));
        Assert.Equal((0, TimeSpan.FromSeconds(5)), (_breaker.Capacity(4, 0, TimeSpan.Zero), _breaker.OpenUntil));
    }

    [Theory]
    [InlineData(UpstreamOutcome.Ok)]
    [InlineData(UpstreamOutcome.Client)]
    public void Faults_BelowTheRatio_LeaveItClosed(object sign)
    {
        for (var i = 0; i < 20; i++)
        {
            Record((UpstreamOutcome)sign);
            Record((UpstreamOutcome)sign);
            Record(UpstreamOutcome.Fault);
        }

        Assert.Equal(BreakerState.Closed, _breaker.State);
    }

    [Theory]
    [InlineData(UpstreamOutcome.Backpressure)]
    [InlineData(UpstreamOutcome.Neutral)]
    public void OtherOutcomes_CountForNothing(object outcome)
    {
        for (var i = 0; i < 20; i++)
        {
            Record((UpstreamOutcome)outcome);
        }

        Assert.All(Enumerable.Range(0, 3), _ => Assert.Null(Record(UpstreamOutcome.Fault)));
    }

    [Fact]
    public void Faults_OfLongAgo_AreForgotten()
    {
        for (var i = 0; i < 20; i++)
        {
            Assert.Null(Record(UpstreamOutcome.Fault, at: i * 4));
        }
    }

    [Fact]
    public void Faults_OfTheLastBackend_LeaveItClosed()
    {
        Assert.All(Enumerable.Range(0, 50), _ => Assert.Null(Record(UpstreamOutcome.Fault, isLast: true)));
        Assert.Equal(4, _breaker.Capacity(4, 0, TimeSpan.Zero));
    }

    [Fact]
    public void Open_TimeIsOver_OneRequestMayTry()
    {
        OpenByFaults();
        Assert.Null(_breaker.Look(TimeSpan.FromSeconds(4.9)));
        Assert.Equal(BreakerReason.Waited, _breaker.Look(TimeSpan.FromSeconds(5))?.Reason);
        Assert.Equal(1, _breaker.Capacity(4, 0, TimeSpan.FromSeconds(5)));

        // Older streams may still run there: the trial comes on top of them.
        Assert.Equal(3, _breaker.Capacity(4, 2, TimeSpan.FromSeconds(5)));
        _breaker.Try();
        Assert.Equal(1, _breaker.Capacity(4, 1, TimeSpan.FromSeconds(5)));
    }

    [Theory]
    [InlineData(UpstreamOutcome.Ok, BreakerState.Closed)]
    [InlineData(UpstreamOutcome.Client, BreakerState.Closed)]
    [InlineData(UpstreamOutcome.Fault, BreakerState.Open)]
    [InlineData(UpstreamOutcome.Neutral, BreakerState.HalfOpen)]
    [InlineData(UpstreamOutcome.Backpressure, BreakerState.HalfOpen)]
    public void HalfOpen_Trial_Decides(object outcome, object state)
    {
        OpenByFaults();
        _breaker.Look(TimeSpan.FromSeconds(5));
        _breaker.Try();
        Assert.Null(Record(UpstreamOutcome.Fault, at: 5));
        Record((UpstreamOutcome)outcome, at: 5, isTrial: true);
        Assert.Equal(((BreakerState)state, false), (_breaker.State, _breaker.IsTrying));
    }

    [Fact]
    public void Open_AgainAndAgain_DoublesUpToAMinute()
    {
        OpenByFaults();
        var at = 5.0;
        foreach (var seconds in new[] { 10, 20, 40, 60, 60 })
        {
            _breaker.Look(TimeSpan.FromSeconds(at));
            _breaker.Try();
            Record(UpstreamOutcome.Fault, at: at, isTrial: true);
            Assert.Equal(seconds, (_breaker.OpenUntil!.Value - TimeSpan.FromSeconds(at)).TotalSeconds, 3);
            at += seconds;
        }
    }

    [Fact]
    public void Exit_OpensUntilItIsReady()
    {
        Assert.Equal(new BreakerChange(BreakerState.Closed, BreakerState.Open, BreakerReason.Exit), _breaker.Exited());
        Assert.Null(_breaker.Look(TimeSpan.FromDays(1)));
        Assert.Null(_breaker.IsLastHope());
        Assert.Equal(new BreakerChange(BreakerState.Open, BreakerState.HalfOpen, BreakerReason.Ready), _breaker.Ready());
    }

    [Fact]
    public void Closed_AfterATrial_OpensSlotBySlot()
    {
        _breaker.Exited();
        _breaker.Ready();
        _breaker.Try();
        Record(UpstreamOutcome.Ok, at: 100, isTrial: true);
        var at = TimeSpan.FromSeconds(100);
        var seen = new List<(double, int)>();
        while (_breaker.NextChange(4, at) is { } next)
        {
            seen.Add(((at - TimeSpan.FromSeconds(100)).TotalSeconds, _breaker.Capacity(4, 0, at)));
            Assert.True(next > at);
            at = next;
        }

        Assert.Equal([(0, 1), (2.5, 1), (5, 2), (7.5, 3)], seen);
        Assert.Equal(4, _breaker.Capacity(4, 0, at));
    }

    [Fact]
    public void SlowStart_Zero_IsOff()
    {
        var breaker = new Breaker(Options, TimeSpan.Zero);
        breaker.Exited();
        breaker.Ready();
        breaker.Try();
        breaker.Record(UpstreamOutcome.Ok, isTrial: true, isLast: false, TimeSpan.FromSeconds(1), 0.5);
        Assert.Equal(4, breaker.Capacity(4, 0, TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void Window_AnyOutcomes_CountsThoseOfTheLastWhile() =>
        Gen.Select(Gen.Bool, Gen.Int[0, 3000]).Array[0, 100].Sample(outcomes =>
        {
            var window = new OutcomeWindow(TimeSpan.FromSeconds(10));
            var now = TimeSpan.Zero;
            var all = new List<(bool Passed, TimeSpan At)>();
            foreach (var (passed, wait) in outcomes)
            {
                now += TimeSpan.FromMilliseconds(wait);
                window.Record(passed, now);
                all.Add((passed, now));
                var (ok, faults) = window.Count(now);

                // A part of the window is forgotten at once, so up to a tenth of it may be missing.
                Assert.InRange(ok, all.Count(each => each.Passed && now - each.At < TimeSpan.FromSeconds(9)), all.Count(each => each.Passed && now - each.At <= TimeSpan.FromSeconds(10)));
                Assert.InRange(faults, all.Count(each => !each.Passed && now - each.At < TimeSpan.FromSeconds(9)), all.Count(each => !each.Passed && now - each.At <= TimeSpan.FromSeconds(10)));
            }
        });

    private void OpenByFaults()
    {
        for (var i = 0; i < 4; i++)
        {
            Record(UpstreamOutcome.Fault);
        }

        Assert.Equal(BreakerState.Open, _breaker.State);
    }

    private BreakerChange? Record(UpstreamOutcome outcome, double at = 0, bool isTrial = false, bool isLast = false) =>
        _breaker.Record(outcome, isTrial, isLast, TimeSpan.FromSeconds(at), random: 0.5);
}
