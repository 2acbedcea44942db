using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Tests.Supervision;

/// <summary>Single faults on the pure core, in the form of <c>docs/faults.md</c>; <see cref="ReplicaScheduleTests"/> mixes them.</summary>
public sealed class ReplicaFaultTests
{
    private static readonly ReplicaSetOptions Options = new() { Model = "m", Kind = ReplicaKind.LlamaServer, Executable = "x" };
    private static readonly LiveProcess Live = new(77, BackendAddress.Tcp("127.0.0.1", 18100), null, DateTimeOffset.UnixEpoch);

    [Theory]
    [InlineData(-3600)]
    [InlineData(3600)]
    public void Fault36_WallClockJumps_DelayAndBudgetAreTheSame(int seconds)
    {
        var crash = new SupervisorEvent.Exited(1, new(139, false, []));
        var (replica, effects) = Apply(Ready(), crash, TimeSpan.FromSeconds(30), DateTimeOffset.UnixEpoch.AddYears(1));
        var (jumped, sameEffects) = Apply(Ready(), crash, TimeSpan.FromSeconds(30), DateTimeOffset.UnixEpoch.AddYears(1).AddSeconds(seconds));
        Assert.Equal(effects, sameEffects);
        Assert.Equal((replica.State, replica.StartCost, replica.History.Failures), (jumped.State, jumped.StartCost, jumped.History.Failures));
        Assert.Equal(seconds, (jumped.NextTryAt - replica.NextTryAt)!.Value.TotalSeconds); // only what people read has moved
    }

    [Fact]
    public void Fault68_NewsOfAnOldProcess_ChangesNothing()
    {
        var second = Run(Ready(), new SupervisorEvent.Exited(1, new(139, false, [])), new SupervisorEvent.Asked(ReplicaVerb.Start),
            new SupervisorEvent.PermitGranted(2), new SupervisorEvent.Launched(2, Live), new SupervisorEvent.StartupPassed(2), new SupervisorEvent.Warmed(2, 4));
        Assert.Equal((ReplicaState.Ready, 2), (second.State, second.Generation));
        SupervisorEvent[] late =
        [
            new SupervisorEvent.Exited(1, new(139, false, [])), new SupervisorEvent.Died(1), new SupervisorEvent.FoundHung(1, "x"),
            new SupervisorEvent.StartupFailed(1, ExitCause.StartTimeout, "x"), new SupervisorEvent.ReadinessChanged(1, false, "x"), new SupervisorEvent.Launched(1, Live),
        ];
        Assert.All(late, @event =>
        {
            var (after, effects) = Apply(second, @event, TimeSpan.Zero, DateTimeOffset.UnixEpoch);
            Assert.Same(second, after);
            Assert.Empty(effects);
        });
    }

    [Fact]
    public void Fault69_StopDuringStartAndStartDuringStop_TheLaterWinsAndNoSecondProcessIsMade()
    {
        var launching = Run(new(), new SupervisorEvent.Asked(ReplicaVerb.Start), new SupervisorEvent.PermitGranted(1));

        // The process is on its way: it is waited for, and ended.
        var stopping = Run(launching, new SupervisorEvent.Asked(ReplicaVerb.Stop));
        var (ended, effects) = Apply(stopping, new SupervisorEvent.Launched(1, Live), TimeSpan.Zero, DateTimeOffset.UnixEpoch);
        Assert.Equal([new Effect.Terminate(1)], effects);

        // Wanted again meanwhile: another one starts when this one is gone, and not before.
        var (wanted, none) = Apply(ended, new SupervisorEvent.Asked(ReplicaVerb.Start), TimeSpan.Zero, DateTimeOffset.UnixEpoch);
        Assert.Empty(none);
        var (queued, then) = Apply(wanted, new SupervisorEvent.Exited(1, new(143, false, [])), TimeSpan.Zero, DateTimeOffset.UnixEpoch);
        Assert.Equal((ReplicaState.Queued, 2), (queued.State, queued.Generation));
        Assert.Equal([new Effect.Retire(1), new Effect.RequestPermit(2)], then);
        Assert.Equal(ReplicaState.Stopped, Run(queued, new SupervisorEvent.Asked(ReplicaVerb.Stop)).State);
    }

    private static Replica Ready() => Run(
        new(), new SupervisorEvent.Asked(ReplicaVerb.Start), new SupervisorEvent.PermitGranted(1), new SupervisorEvent.Launched(1, Live),
        new SupervisorEvent.StartupPassed(1), new SupervisorEvent.Warmed(1, 4));

    private static Replica Run(Replica replica, params SupervisorEvent[] events) =>
        events.Aggregate(replica, (now, @event) => Apply(now, @event, TimeSpan.Zero, DateTimeOffset.UnixEpoch).Next);

    private static Step Apply(Replica replica, SupervisorEvent @event, TimeSpan now, DateTimeOffset wallNow) =>
        ReplicaTransitions.Apply(replica, @event, new(Options, now, wallNow, 0.5));
}
