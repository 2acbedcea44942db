using CsCheck;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Tests.Supervision;

public sealed class RestartPolicyTests
{
    private static readonly RestartOptions Defaults = new();

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 4)]
    [InlineData(6, 32)]
    [InlineData(7, 60)]
    [InlineData(int.MaxValue, 60)]
    public void Backoff_FailuresInARow_DoublesUpToTheLimit(int failures, double seconds)
    {
        Assert.Equal(seconds, RestartPolicy.Backoff(Defaults, failures, 0.5).TotalSeconds, 6);
        Assert.Equal(seconds * 0.75, RestartPolicy.Backoff(Defaults, failures, 0).TotalSeconds, 6);
    }

    [Fact]
    public void Backoff_AnyOptions_StaysWithinAQuarterOfTheFormula() =>
        Gen.Select(Gen.Double[0.01, 3600], Gen.Double[1, 100], Gen.Int[1, 10_000], Gen.Double[0, 0.999999]).Sample((initial, times, failures, random) =>
        {
            var options = new RestartOptions { InitialBackoff = TimeSpan.FromSeconds(initial), MaxBackoff = TimeSpan.FromSeconds(initial * times) };
            var formula = Math.Min(initial * times, failures > 60 ? double.MaxValue : initial * Math.Pow(2, failures - 1));
            var delay = RestartPolicy.Backoff(options, failures, random).TotalSeconds;
            return delay >= (formula * 0.75) - 1e-6 && delay <= (formula * 1.25) + 1e-6;
        });

    [Theory]
    [InlineData(RestartPolicyKind.Always, ExitCause.Crash, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.Always, ExitCause.UnexpectedExit, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.Always, ExitCause.PermanentConfig, RestartAction.Await)]
    [InlineData(RestartPolicyKind.Always, ExitCause.ModelInvalid, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.Always, ExitCause.WrongBuild, RestartAction.Await)]
    [InlineData(RestartPolicyKind.Always, ExitCause.StartTimeout, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.Always, ExitCause.Hung, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.OnFailure, ExitCause.Crash, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.OnFailure, ExitCause.ExternalKill, RestartAction.Restart)]
    [InlineData(RestartPolicyKind.OnFailure, ExitCause.UnexpectedExit, RestartAction.StayDown)]
    [InlineData(RestartPolicyKind.Never, ExitCause.UnexpectedExit, RestartAction.StayDown)]
    [InlineData(RestartPolicyKind.Never, ExitCause.Crash, RestartAction.Hold)]
    internal void Decide_PolicyAndCause_SaysWhatToDo(RestartPolicyKind policy, ExitCause cause, RestartAction action) =>
        Assert.Equal(action, RestartPolicy.Decide(Defaults with { Policy = policy }, RestartHistory.Empty, new(cause), TimeSpan.Zero, 0.5).Action);

    [Fact]
    public void Decide_PortConflict_IsFreeThreeTimesInARowThenCounts()
    {
        var history = RestartHistory.Empty;
        for (var i = 0; i < RestartPolicy.MaxPortConflicts; i++)
        {
            var free = RestartPolicy.Decide(Defaults, history, new(ExitCause.PortConflict), TimeSpan.Zero, 0.5);
            Assert.Equal((RestartAction.Restart, TimeSpan.Zero, 0), (free.Action, free.Delay, free.Cost));
            history = free.History;
        }

        var counted = RestartPolicy.Decide(Defaults, history, new(ExitCause.PortConflict), TimeSpan.Zero, 0.5);
        Assert.Equal((RestartAction.Restart, TimeSpan.FromSeconds(1), 1), (counted.Action, counted.Delay, counted.Cost));
    }

    [Fact]
    public void Fault2_ModelInvalid_IsTriedOnceMoreAndThenAwaitsAnotherFile()
    {
        var first = RestartPolicy.Decide(Defaults, RestartHistory.Empty, new(ExitCause.ModelInvalid), TimeSpan.Zero, 0.5);
        Assert.Equal((RestartAction.Restart, 1), (first.Action, first.Cost));
        Assert.Equal(RestartAction.Await, RestartPolicy.Decide(Defaults, first.History, new(ExitCause.ModelInvalid), TimeSpan.Zero, 0.5).Action);

        // Seen before the launch there is nothing to try.
        Assert.Equal(RestartAction.Await, RestartPolicy.Decide(Defaults, RestartHistory.Empty, new(ExitCause.ModelInvalid, WasLaunched: false), TimeSpan.Zero, 0.5).Action);
    }

    [Theory]
    [InlineData(ExitCause.Crash, 60, 0, 0)]
    [InlineData(ExitCause.Hung, 3600, 0, 0)]
    [InlineData(ExitCause.Crash, 59, 0, 1)]
    [InlineData(ExitCause.Crash, 3600, 1, 2)]
    [InlineData(ExitCause.Oom, 3600, 0, 10)]
    [InlineData(ExitCause.Vram, 3600, 0, 5)]
    internal void Decide_FirstFailureAfterLongHealth_IsRestartedAtOnce(ExitCause cause, int readySeconds, int failuresBefore, double delay) =>
        Assert.Equal(
            TimeSpan.FromSeconds(delay),
            RestartPolicy.Decide(Defaults, RestartHistory.Empty with { Failures = failuresBefore }, new(cause, TimeSpan.FromSeconds(readySeconds)), TimeSpan.Zero, 0.5).Delay);

    [Fact]
    public void Decide_Oom_WaitsTenSecondsAndCountsTwice()
    {
        var decision = RestartPolicy.Decide(Defaults, RestartHistory.Empty, new(ExitCause.Oom), TimeSpan.Zero, 0.5);
        Assert.Equal((TimeSpan.FromSeconds(10), 2), (decision.Delay, decision.Cost));
        Assert.Equal(RestartAction.SlowRetry, RestartPolicy.Decide(Defaults with { MaxRestarts = 1 }, RestartHistory.Empty, new(ExitCause.Oom), TimeSpan.Zero, 0.5).Action);
    }

    [Fact]
    public void Decide_TroubleOfTheGatewaysOwn_IsTriedAgainForAsLongAsItLastsAtNoCost()
    {
        var history = RestartHistory.Empty;
        for (var failures = 1; failures <= 50; failures++)
        {
            var decision = RestartPolicy.Decide(Defaults, history, new(ExitCause.PermanentConfig, WasLaunched: false, IsOurs: true), TimeSpan.Zero, 0.5);
            Assert.Equal((RestartAction.Restart, 0, RestartPolicy.Backoff(Defaults, failures, 0.5)), (decision.Action, decision.Cost, decision.Delay));
            history = decision.History;
        }

        Assert.Empty(history.Restarts);
        Assert.Equal(RestartAction.Hold, RestartPolicy.Decide(Defaults with { Policy = RestartPolicyKind.Never }, history, new(ExitCause.Crash, IsOurs: true), TimeSpan.Zero, 0.5).Action);
    }

    [Theory]
    [InlineData(RestartExhausted.SlowRetry, RestartAction.SlowRetry)]
    [InlineData(RestartExhausted.Hold, RestartAction.Hold)]
    internal void Decide_ThreeRestartsAllowed_FourthFailureIsTheLast(RestartExhausted onExhausted, RestartAction last)
    {
        var options = Defaults with { MaxRestarts = 3, OnExhausted = onExhausted };
        var (history, now, starts) = (RestartHistory.Empty, TimeSpan.Zero, 1);
        RestartDecision decision;
        while ((decision = RestartPolicy.Decide(options, history, new(ExitCause.Crash), now, 0.5)).Action is RestartAction.Restart)
        {
            now += decision.Delay;
            history = RestartPolicy.Started(options, decision.History, decision.Cost, now);
            starts++;
        }

        Assert.Equal((4, last), (starts, decision.Action));

        // Ready for a whole window after a slow retry, the budget is there again.
        if (onExhausted is RestartExhausted.SlowRetry)
        {
            var healthy = RestartPolicy.Decide(options, decision.History, new(ExitCause.Crash, ReadyFor: options.Window), now + TimeSpan.FromHours(2), 0.5);
            Assert.Equal(RestartAction.Restart, healthy.Action);
        }

        // Once spent it stays spent, however long ago the restarts were: one slow try is not followed by a burst.
        Assert.Equal(last, RestartPolicy.Decide(options, decision.History, new(ExitCause.Crash), now + TimeSpan.FromHours(2), 0.5).Action);
    }

    [Fact]
    public void Decide_AnyFailureTimes_NeverMoreRestartsInAnyWindowThanAllowed()
    {
        ExitCause[] counted = [ExitCause.Crash, ExitCause.Oom, ExitCause.ExternalKill, ExitCause.StartTimeout];
        var causes = Gen.Int[0, counted.Length - 1].Select(i => counted[i]);
        Gen.Select(Gen.Int[0, 6], Gen.Double[1, 600], Gen.Select(Gen.Double[0, 400], Gen.Double[0, 30], Gen.Double[0, 1], causes).Array[1, 80]).Sample((max, window, lives) =>
        {
            var options = Defaults with { MaxRestarts = max, Window = TimeSpan.FromSeconds(window) };
            var (history, now) = (RestartHistory.Empty, TimeSpan.Zero);
            var restarts = new List<TimeSpan>();
            foreach (var (lived, waitedForPermit, random, cause) in lives)
            {
                now += TimeSpan.FromSeconds(lived);
                var decision = RestartPolicy.Decide(options, history, new(cause), now, random);
                if (decision.Action is not RestartAction.Restart)
                {
                    history = RestartHistory.Empty; // an operator's reset: the count below begins anew, too
                    restarts.Clear();
                    continue;
                }

                now += decision.Delay + TimeSpan.FromSeconds(waitedForPermit);
                history = RestartPolicy.Started(options, decision.History, decision.Cost, now);
                restarts.AddRange(Enumerable.Repeat(now, decision.Cost));
                Assert.True(restarts.Count(at => at > now - options.Window) <= max);
            }
        });
    }
}
