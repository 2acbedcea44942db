using System.Collections.Immutable;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Tests.Supervision;

public sealed class ReplicaTransitionsTests
{
    private static readonly LiveProcess Live = new(42, BackendAddress.Tcp("127.0.0.1", 1), "key", default);

    private static readonly ReplicaSetOptions Options = new() { Model = "m", Kind = ReplicaKind.LlamaServer, Executable = "x" };

    [Fact]
    public void Apply_FirstStart_GoesTheWholeWay()
    {
        var (replica, _) = Follow(new Replica(), new SupervisorEvent.Asked(ReplicaVerb.Start), new SupervisorEvent.PermitGranted(1));
        Assert.Equal(ReplicaState.Starting, replica.State);
        (replica, var effects) = Follow(replica, new SupervisorEvent.Launched(1, Live), new SupervisorEvent.Answered(1));
        Assert.Equal(ReplicaState.Loading, replica.State);
        (replica, effects) = Follow(replica, new SupervisorEvent.StartupPassed(1), new SupervisorEvent.Warmed(1, 4));

        Assert.Equal((ReplicaState.Ready, 4), (replica.State, replica.Slots));
        Assert.Equal(
            [
                new Effect.Warm(1), new Effect.SetTimer(1, replica.Epoch, Options.Restart.StableAfter), new Effect.ReleasePermit(1), new Effect.WatchReadiness(1),
                new Effect.WatchLiveness(1),
            ],
            effects);
    }

    [Fact]
    public void Apply_Died_LeavesReadyAtOnceAndIsJudgedLater()
    {
        var (dead, _) = Follow(Ready(), new SupervisorEvent.Died(1));
        Assert.Equal(ReplicaState.Killing, dead.State);
        Assert.Null(dead.LastExit);

        var (ended, effects) = Follow(dead, new SupervisorEvent.Exited(1, new(139, false, ["words"])));
        Assert.Equal((ReplicaState.Backoff, ExitCause.Crash, 11), (ended.State, ended.LastExit!.Cause, ended.LastExit.Signal));
        Assert.Equal([new Effect.Retire(1), new Effect.SetTimer(1, ended.Epoch, TimeSpan.FromSeconds(1))], effects);
        Assert.Equal(DateTimeOffset.UnixEpoch.AddSeconds(1), ended.NextTryAt);
    }

    [Fact]
    public void Fault18_Apply_Stop_ClimbsTheLadder()
    {
        var (replica, effects) = Follow(Ready(), new SupervisorEvent.Asked(ReplicaVerb.Stop));
        Assert.Equal(ReplicaState.Draining, replica.State);
        Assert.Equal([new Effect.AwaitDrained(1, replica.Epoch), new Effect.SetTimer(1, replica.Epoch, Options.DrainTimeout)], effects);

        (replica, effects) = Follow(replica, new SupervisorEvent.TimerFired(1, replica.Epoch));
        Assert.Equal(ReplicaState.Stopping, replica.State);
        Assert.Equal([new Effect.DropTraffic(1), new Effect.Terminate(1), new Effect.SetTimer(1, replica.Epoch, Options.StopTimeout)], effects);

        (replica, effects) = Follow(replica, new SupervisorEvent.TimerFired(1, replica.Epoch));
        Assert.Equal(ReplicaState.Killing, replica.State);
        Assert.Equal([new Effect.Kill(1), new Effect.SetTimer(1, replica.Epoch, ReplicaTransitions.KillTimeout)], effects);

        (replica, effects) = Follow(replica, new SupervisorEvent.TimerFired(1, replica.Epoch));
        Assert.Equal(ReplicaState.Stuck, replica.State);
        Assert.Empty(effects);

        (replica, effects) = Follow(replica, new SupervisorEvent.Died(1), new SupervisorEvent.Exited(1, new(137, true, [])));
        Assert.Equal((ReplicaState.Stopped, ExitCause.Requested), (replica.State, replica.LastExit!.Cause));
        Assert.Equal([new Effect.Retire(1)], effects);
    }

    [Fact]
    public void Apply_Hurry_SkipsDrainAndGrace()
    {
        var (replica, effects) = Follow(Ready(), new SupervisorEvent.Asked(ReplicaVerb.Stop), new SupervisorEvent.HurryAsked());
        Assert.Equal(ReplicaState.Killing, replica.State);
        Assert.Contains(new Effect.DropTraffic(1), effects);
        Assert.Contains(new Effect.Kill(1), effects);
    }

    [Fact]
    public void Apply_StopWhileLaunching_WaitsForTheProcessAndEndsIt()
    {
        var (replica, effects) = Follow(
            new Replica(), new SupervisorEvent.Asked(ReplicaVerb.Start), new SupervisorEvent.PermitGranted(1), new SupervisorEvent.Asked(ReplicaVerb.Stop));
        Assert.Equal(ReplicaState.Stopping, replica.State);
        Assert.DoesNotContain(new Effect.Terminate(1), effects);

        (replica, effects) = Follow(replica, new SupervisorEvent.Launched(1, Live));
        Assert.Equal([new Effect.Terminate(1)], effects);
        Assert.Equal(ReplicaState.Stopped, Follow(replica, new SupervisorEvent.Exited(1, new(143, false, []))).Replica.State);
    }

    [Fact]
    public void Apply_DrainedByAnOperator_HoldsOverACrashUntilResumed()
    {
        var (replica, _) = Follow(Ready(), new SupervisorEvent.Asked(ReplicaVerb.Drain), new SupervisorEvent.Exited(1, new(139, false, [])));
        Assert.Equal(ReplicaState.Backoff, replica.State);
        (replica, _) = Follow(replica, new SupervisorEvent.TimerFired(1, replica.Epoch), new SupervisorEvent.PermitGranted(2),
            new SupervisorEvent.Launched(2, Live), new SupervisorEvent.StartupPassed(2), new SupervisorEvent.Warmed(2, 4));
        Assert.Equal(ReplicaState.Draining, replica.State);
        Assert.Equal(ReplicaState.Ready, Follow(replica, new SupervisorEvent.Asked(ReplicaVerb.Resume)).Replica.State);
    }

    [Fact]
    public void Apply_Restart_CostsNoBudgetAndKeepsNoFailure()
    {
        var (replica, effects) = Follow(Ready(), new SupervisorEvent.Asked(ReplicaVerb.Restart));
        Assert.True(ReplicaStatusView.Of(Options, 0, replica, TimeSpan.Zero).IsComing); // whoever waits may go on waiting
        (replica, effects) = Follow(replica, new SupervisorEvent.Drained(1, replica.DrainEpoch), new SupervisorEvent.Exited(1, new(0, false, [])));
        Assert.Equal((ReplicaState.Queued, 2, 0), (replica.State, replica.Generation, replica.StartCost));
        Assert.Equal([new Effect.Retire(1), new Effect.RequestPermit(2)], effects.TakeLast(2));
        (replica, _) = Follow(replica, new SupervisorEvent.PermitGranted(2));
        Assert.Equal((1, 0), (replica.Restarts, replica.History.Restarts.Length));
    }

    [Fact]
    public void Apply_ReadyForStableAfter_ForgetsFailures()
    {
        var replica = Ready() with { History = new(3, [TimeSpan.Zero], true, 1) };
        Assert.Equal(RestartHistory.Empty, Follow(replica, new SupervisorEvent.TimerFired(1, replica.Epoch)).Replica.History);
    }

    [Theory]
    [InlineData(ReplicaVerb.Start, ReplicaState.Queued)]
    [InlineData(ReplicaVerb.Restart, ReplicaState.Queued)]
    [InlineData(ReplicaVerb.Reset, ReplicaState.Queued)]
    [InlineData(ReplicaVerb.Stop, ReplicaState.Stopped)]
    [InlineData(ReplicaVerb.Drain, ReplicaState.Failed)]
    [InlineData(ReplicaVerb.Resume, ReplicaState.Failed)]
    internal void Apply_VerbOnAFailedReplica_DoesWhatItSays(ReplicaVerb verb, ReplicaState state) =>
        Assert.Equal(state, Follow(new Replica { State = ReplicaState.Failed }, new SupervisorEvent.Asked(verb)).Replica.State);

    [Fact]
    public void Apply_ReadinessFlaps_OnlyTrafficIsGated()
    {
        var (replica, effects) = Follow(Ready(), new SupervisorEvent.ReadinessChanged(1, false, "HTTP status 500"));
        Assert.Equal(ReplicaState.NotReady, replica.State);
        Assert.Empty(effects);
        Assert.Contains("HTTP status 500", ReplicaStatusView.Of(Options, 0, replica, TimeSpan.Zero).NotRoutableBecause, StringComparison.Ordinal);
        Assert.Equal(ReplicaState.Ready, Follow(replica, new SupervisorEvent.ReadinessChanged(1, true, "passed")).Replica.State);
    }

    [Fact]
    public void Fault2_PermanentCause_LooksAtItsFilesAndStartsWhenTheyChange()
    {
        var (replica, effects) = Follow(
            new Replica(), new SupervisorEvent.Asked(ReplicaVerb.Start), new SupervisorEvent.PermitGranted(1),
            new SupervisorEvent.LaunchFailed(1, ExitCause.ModelInvalid, "There is no model."));
        Assert.Equal((ReplicaState.Failed, true), (replica.State, replica.AwaitsChange));
        Assert.Equal(new Effect.SetTimer(1, replica.Epoch, ReplicaTransitions.FileCheckPeriod), effects[^1]);
        Assert.False(ReplicaStatusView.Of(Options, 0, replica, TimeSpan.Zero).IsComing);

        var (same, look) = Follow(replica, new SupervisorEvent.TimerFired(1, replica.Epoch));
        Assert.Equal([new Effect.CheckFiles(1, replica.Epoch), new Effect.SetTimer(1, replica.Epoch, ReplicaTransitions.FileCheckPeriod)], look);
        Assert.Equal(replica, same);

        Assert.Equal((ReplicaState.Queued, 0), Follow(replica, new SupervisorEvent.FilesChanged(1, replica.Epoch)).Replica is var next ? (next.State, next.StartCost) : default);
        var (stopped, _) = Follow(replica, new SupervisorEvent.Asked(ReplicaVerb.Stop));
        Assert.Equal(ReplicaState.Stopped, Follow(stopped, new SupervisorEvent.FilesChanged(1, replica.Epoch)).Replica.State);
    }

    [Fact]
    public void Apply_BusyForAWhile_DoesNotBreakAHealthyLife()
    {
        var ready = Ready();
        var (busy, _) = FollowAt(TimeSpan.FromSeconds(40), ready, new SupervisorEvent.LivenessChanged(1, LivenessHealth.Busy));
        var (again, effects) = FollowAt(TimeSpan.FromSeconds(100), busy, new SupervisorEvent.LivenessChanged(1, LivenessHealth.Alive));
        Assert.Equal(TimeSpan.Zero, again.ReadySince);
        Assert.Equal([new Effect.SetTimer(1, again.Epoch, Options.Restart.StableAfter - TimeSpan.FromSeconds(100))], effects);

        // Well for more than a minute: the first failure is answered at once.
        var (dead, _) = FollowAt(TimeSpan.FromSeconds(101), again, new SupervisorEvent.Died(1), new SupervisorEvent.Exited(1, new(139, false, [])));
        Assert.Equal((ReplicaState.Queued, 1), (dead.State, dead.StartCost));
    }

    [Fact]
    public void Apply_SilentWhileItWorks_IsBusyAndNotNotReady()
    {
        var (replica, effects) = Follow(Ready(), new SupervisorEvent.LivenessChanged(1, LivenessHealth.Alive, IsWorking: true), new SupervisorEvent.ReadinessChanged(1, false, "no answer", IsSilent: true));
        Assert.Equal(ReplicaState.Busy, replica.State);
        Assert.Empty(effects);
        Assert.True(ReplicaStatusView.Of(Options, 0, replica, TimeSpan.Zero) is { IsRoutable: false, IsComing: true });

        Assert.Equal(ReplicaState.NotReady, Follow(replica, new SupervisorEvent.LivenessChanged(1, LivenessHealth.Alive)).Replica.State);
        Assert.Equal(ReplicaState.Ready, Follow(replica, new SupervisorEvent.ReadinessChanged(1, true, "passed")).Replica.State);
    }

    [Theory]
    [InlineData(LivenessHealth.Alive, ReplicaState.Ready, "passing")]
    [InlineData(LivenessHealth.Busy, ReplicaState.Busy, "passing")]
    [InlineData(LivenessHealth.Stopped, ReplicaState.NotReady, "failing")]
    [InlineData(LivenessHealth.Suspect, ReplicaState.Ready, "failing")]
    [InlineData(LivenessHealth.Hung, ReplicaState.NotReady, "failing")]
    internal void Apply_LivenessChanges_GatesTrafficAndKillsNothing(LivenessHealth health, ReplicaState state, string probe)
    {
        var (replica, effects) = Follow(Ready(), new SupervisorEvent.LivenessChanged(1, health, Finding: "Something."));
        Assert.Equal(state, replica.State);
        Assert.Empty(effects);
        Assert.Equal(probe, ReplicaStatusView.Of(Options, 0, replica, TimeSpan.Zero).Probes.Liveness);
    }

    [Fact]
    public void Apply_StoppedForAWhile_IsContinuedWhileItComesUpAndServes()
    {
        foreach (var state in new[] { ReplicaState.Starting, ReplicaState.Loading, ReplicaState.Warming })
        {
            Assert.Equal([new Effect.Continue(1)], Follow(Ready() with { State = state }, new SupervisorEvent.ContinueDue(1)).Effects);
        }

        var (replica, effects) = Follow(Ready(), new SupervisorEvent.ContinueDue(1));
        Assert.Equal([new Effect.Continue(1)], effects);
        (_, effects) = Follow(replica with { State = ReplicaState.Stopping }, new SupervisorEvent.ContinueDue(1));
        Assert.Empty(effects);
    }

    [Theory]
    [InlineData(ReplicaState.Ready)]
    [InlineData(ReplicaState.Busy)]
    [InlineData(ReplicaState.NotReady)]
    [InlineData(ReplicaState.Draining)]
    internal void Apply_FoundHung_KillsAndReplaces(ReplicaState state)
    {
        var (replica, effects) = Follow(Ready() with { State = state }, new SupervisorEvent.FoundHung(1, "It stood still."));
        Assert.Equal(ReplicaState.Killing, replica.State);
        Assert.Equal([new Effect.DropTraffic(1), new Effect.Kill(1), new Effect.SetTimer(1, replica.Epoch, ReplicaTransitions.KillTimeout)], effects);

        (replica, _) = Follow(replica, new SupervisorEvent.Exited(1, new(137, false, [])));
        Assert.Equal((ReplicaState.Backoff, ExitCause.Hung, "It stood still."), (replica.State, replica.LastExit!.Cause, replica.LastExit.Advice));
        Assert.Null(replica.Liveness);
    }

    private static Replica Ready() => Follow(
        new Replica(), new SupervisorEvent.Asked(ReplicaVerb.Start), new SupervisorEvent.PermitGranted(1), new SupervisorEvent.Launched(1, Live),
        new SupervisorEvent.StartupPassed(1), new SupervisorEvent.Warmed(1, 4)).Replica;

    private static (Replica Replica, ImmutableArray<Effect> Effects) Follow(Replica replica, params SupervisorEvent[] events) =>
        FollowAt(TimeSpan.Zero, replica, events);

    private static (Replica Replica, ImmutableArray<Effect> Effects) FollowAt(TimeSpan now, Replica replica, params SupervisorEvent[] events)
    {
        var effects = ImmutableArray.CreateBuilder<Effect>();
        foreach (var @event in events)
        {
            var step = ReplicaTransitions.Apply(replica, @event, new(Options, now, DateTimeOffset.UnixEpoch, 0.5));
            replica = step.Next;
            effects.AddRange(step.Effects);
        }

        return (replica, effects.ToImmutable());
    }
}
