using LlmGateway.Gateway.Requests;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class OverheadClockTests
{
    [Fact]
    public void Clock_OfARetriedRequest_CountsOnlyWhatTheGatewayDid()
    {
        var time = new FakeTimeProvider();
        var clock = new OverheadClock(time, time.GetTimestamp());

        Pass(3);
        clock.TakeOff(TimeSpan.FromMilliseconds(1)); // the client's body was late
        for (var attempt = 0; attempt < 2; attempt++)
        {
            clock.Enter(OverheadPhase.Admit);
            Pass(10);
            clock.TakeOff(TimeSpan.FromMilliseconds(9)); // in the queue
            clock.Enter(OverheadPhase.Send);
            Pass(4);
            clock.Pause();
            Pass(1000); // the backend
        }

        clock.Enter(OverheadPhase.FirstToken);
        Pass(5);
        clock.Pause();
        clock.Pause();
        Pass(1000);

        Assert.Equal([2, 2, 8, 5], OverheadClock.Phases.Select(phase => clock.Of(phase).TotalMilliseconds));
        Assert.Equal(17, clock.Total.TotalMilliseconds);

        void Pass(int milliseconds) => time.Advance(TimeSpan.FromMilliseconds(milliseconds));
    }

    [Fact]
    public void Clock_MoreTakenOffThanPassed_IsNeverBelowNothing()
    {
        var time = new FakeTimeProvider();
        var clock = new OverheadClock(time, time.GetTimestamp());

        clock.TakeOff(TimeSpan.FromSeconds(1));
        clock.Pause();

        Assert.Equal(TimeSpan.Zero, clock.Total);
    }
}
