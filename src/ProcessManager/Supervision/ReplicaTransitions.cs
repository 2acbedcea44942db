using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What a transition may look at besides the replica and the event.</summary>
/// <param name="Options">The replica set's options.</param>
/// <param name="Now">The monotonic clock: budgets and windows.</param>
/// <param name="WallNow">The wall clock: only for what people read.</param>
/// <param name="Random">From 0 up to 1, for the jitter of the backoff.</param>
internal readonly record struct Circumstances(ReplicaSetOptions Options, TimeSpan Now, DateTimeOffset WallNow, double Random);

/// <summary>The next replica, and what is to be done.</summary>
internal readonly record struct Step(Replica Next, ImmutableArray<Effect> Effects);

/// <summary>state × event → state + effects. Pure: everything that decides over a process's life is here.</summary>
/// <remarks>
/// <code>
/// state     | leaves on                                              | to
/// Stopped   | start, restart                                         | Queued
/// Queued    | permit granted                                         | Starting
///           | stop                                                   | Stopped
/// Starting  | any answer                                             | Loading
///           | startup probe passed                                   | Warming
///           | launch failed                                          | (end)
///           | no progress, stranger on the address, stopped for good | Killing
/// Loading   | startup probe passed / as Starting                     | Warming / Killing
/// Warming   | slots and name known / wrong server                    | Ready, or Draining when held / Killing
/// Ready     | readiness fails, process stopped / liveness busy, or   | NotReady / Busy
///           |   readiness without an answer while it works           |
///           | drain, stop, restart / hung                            | Draining / Killing
///           | stays for StableAfter                                  | Ready, with delay and budget anew
/// NotReady  | as Ready, when that changes                            | Ready, Busy, Draining, Killing
/// Busy      | as Ready, when that changes                            | Ready, NotReady, Draining, Killing
/// Draining  | resume / hung                                          | Ready, NotReady, Busy / Killing
///           | drained or DrainTimeout, when asked to stop or restart | Stopping
/// Stopping  | StopTimeout                                            | Killing
/// Killing   | KillTimeout                                            | Stuck
/// Stuck     | nothing but the end of its process: no replacement     | (end)
/// Backoff   | timer, start, restart, reset / stop                    | Queued / Stopped
/// Failed    | slow-retry timer, start, restart, reset / stop         | Queued / Stopped
///           | permanent cause: its files have changed                | Queued
/// any live  | its process died                                       | Killing: what it left in its group is swept up
/// any live  | exited: nothing of it lives                            | (end)
/// (end)     | asked to stop / asked to restart / restart policy      | Stopped / Queued / Queued, Backoff, Failed, Stopped
/// </code>
/// Promises, each with a test: at most one process lives (a launch is wanted only when the last one is gone); only Ready is routable;
/// no launch under way is forgotten (a stop waits for its report and then ends it); a report of another generation and a timer of
/// another epoch change nothing; of two contrary commands the later wins.
/// </remarks>
internal static class ReplicaTransitions
{
    /// <summary>From SIGKILL until we say that a process is stuck.</summary>
    public static readonly TimeSpan KillTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Between two looks at the files of one that failed for a permanent cause.</summary>
    public static readonly TimeSpan FileCheckPeriod = TimeSpan.FromSeconds(2);

    public static Step Apply(Replica replica, SupervisorEvent @event, in Circumstances now)
    {
        if (@event is SupervisorEvent.Report report && report.Generation != replica.Generation)
        {
            return Stay(replica);
        }

        return @event switch
        {
            SupervisorEvent.Asked asked => OnAsked(replica, asked.Verb, now),
            SupervisorEvent.HurryAsked => OnHurry(replica),
            SupervisorEvent.PermitGranted => OnPermit(replica, now),
            SupervisorEvent.Launched launched => OnLaunched(replica, launched.Process),
            SupervisorEvent.LaunchFailed failed => OnLaunchFailed(replica, failed, now),
            SupervisorEvent.Answered when replica.State is ReplicaState.Starting => To(replica, ReplicaState.Loading),
            SupervisorEvent.StartupPassed when replica.State is ReplicaState.Starting or ReplicaState.Loading
                => To(replica with { StartupPassed = true }, ReplicaState.Warming, new Effect.Warm(replica.Generation)),
            SupervisorEvent.StartupFailed failed when IsComingUp(replica)
                => Kill(replica with { KilledFor = failed.Cause, KilledBecause = failed.Message }),
            SupervisorEvent.Warmed warmed when replica.State is ReplicaState.Warming => OnWarmed(replica, warmed.Slots, now),
            SupervisorEvent.ReadinessChanged readiness => OnReadiness(replica, readiness, now),
            SupervisorEvent.LivenessChanged liveness => OnLiveness(replica, liveness, now),
            SupervisorEvent.ContinueDue when (IsComingUp(replica) || IsServing(replica)) && replica.Phase is ProcessPhase.Alive => Stay(replica, new Effect.Continue(replica.Generation)),
            SupervisorEvent.FoundHung hung when IsServing(replica) => Kill(replica with { KilledFor = ExitCause.Hung, KilledBecause = hung.Finding }),
            SupervisorEvent.Drained drained => OnDrained(replica, drained.Epoch, now),
            SupervisorEvent.Died => OnDied(replica),
            SupervisorEvent.Exited exited => OnExited(replica, exited.Evidence, now),
            SupervisorEvent.FilesChanged files when files.Epoch == replica.Epoch && replica is { State: ReplicaState.Failed, AwaitsChange: true }
                => Queue(replica with { History = replica.History with { ModelRetries = 0 } }, cost: 0, isRestart: true),
            SupervisorEvent.TimerFired timer when timer.Epoch == replica.Epoch => OnTimer(replica, now),
            _ => Stay(replica),
        };
    }

    private static Step OnAsked(Replica replica, ReplicaVerb verb, in Circumstances now) => verb switch
    {
        ReplicaVerb.Start => OnStart(replica with { Held = false }, now),
        ReplicaVerb.Stop => OnEndAsked(replica, Afterwards.Stop, now),
        ReplicaVerb.Restart => OnEndAsked(replica with { Held = false }, Afterwards.Restart, now),
        ReplicaVerb.Drain => OnDrain(replica),
        ReplicaVerb.Resume => OnResume(replica with { Held = false }, now),
        ReplicaVerb.Reset => OnReset(replica with { History = RestartHistory.Empty, StartCost = 0 }),
        _ => throw new ArgumentOutOfRangeException(nameof(verb), verb, null),
    };

    private static Step OnStart(Replica replica, in Circumstances now) => replica.State switch
    {
        ReplicaState.Stopped or ReplicaState.Backoff or ReplicaState.Failed => Queue(replica, cost: 0, isRestart: false),

        // It is on its way down: too late to keep the process, unless it only drains.
        ReplicaState.Draining => Undrain(replica, now),
        ReplicaState.Stopping or ReplicaState.Killing or ReplicaState.Stuck when replica.Afterwards is Afterwards.Stop
            => Stay(replica with { Afterwards = Afterwards.Restart }),
        _ => Stay(replica),
    };

    private static Step OnReset(Replica replica) =>
        replica.State is ReplicaState.Backoff or ReplicaState.Failed ? Queue(replica, cost: 0, isRestart: false) : Stay(replica);

    private static Step OnEndAsked(Replica replica, Afterwards afterwards, in Circumstances now)
    {
        switch (replica.State)
        {
            case ReplicaState.Stopped or ReplicaState.Backoff or ReplicaState.Failed:
                return afterwards is Afterwards.Restart ? Queue(replica, cost: 0, isRestart: false) : To(replica, ReplicaState.Stopped);

            case ReplicaState.Queued:
                return afterwards is Afterwards.Restart
                    ? Stay(replica)
                    : To(replica, ReplicaState.Stopped, new Effect.Retire(replica.Generation));

            case ReplicaState.Ready or ReplicaState.Busy or ReplicaState.NotReady:
                return BeginDrain(replica with { Afterwards = afterwards }, now.Options.DrainTimeout);

            case ReplicaState.Draining when replica.Drained:
                return Terminate(replica with { Afterwards = afterwards }, now);

            case ReplicaState.Draining when replica.Afterwards is Afterwards.Policy: // an operator's drain, without a limit so far
                return WithTimer(replica with { Afterwards = afterwards }, ReplicaState.Draining, now.Options.DrainTimeout);

            case ReplicaState.Draining or ReplicaState.Stopping or ReplicaState.Killing or ReplicaState.Stuck:
                return Stay(replica with { Afterwards = afterwards });

            default: // Starting, Loading, Warming: no work to drain
                return Terminate(replica with { Afterwards = afterwards }, now);
        }
    }

    private static Step OnDrain(Replica replica) => replica.State switch
    {
        ReplicaState.Ready or ReplicaState.Busy or ReplicaState.NotReady => BeginDrain(replica with { Held = true }, limit: null),
        ReplicaState.Stopped => Stay(replica),
        _ => Stay(replica with { Held = true }),
    };

    /// <summary>Undoes a drain, not a stop.</summary>
    private static Step OnResume(Replica replica, in Circumstances now) =>
        replica.State is ReplicaState.Draining && replica.Afterwards is not Afterwards.Stop ? Undrain(replica, now) : Stay(replica);

    private static Step Undrain(Replica replica, in Circumstances now) =>
        Serve(replica with { Afterwards = Afterwards.Policy, Drained = false, DrainEpoch = -1 }, now);

    private static Step OnHurry(Replica replica) =>
        replica.Afterwards is Afterwards.Stop && replica.State is ReplicaState.Draining or ReplicaState.Stopping ? Kill(replica) : Stay(replica);

    private static Step OnPermit(Replica replica, in Circumstances now)
    {
        if (replica.State is not ReplicaState.Queued)
        {
            return Stay(replica);
        }

        var started = replica with
        {
            Phase = ProcessPhase.Launching,
            History = RestartPolicy.Started(now.Options.Restart, replica.History, replica.StartCost, now.Now),
            Restarts = replica.Restarts + (replica.StartIsRestart ? 1 : 0),
        };
        return To(started, ReplicaState.Starting, new Effect.Launch(replica.Generation));
    }

    private static Step OnLaunched(Replica replica, LiveProcess process)
    {
        if (replica.Phase is not ProcessPhase.Launching)
        {
            return Stay(replica);
        }

        var live = replica with { Phase = ProcessPhase.Alive, Process = process };
        return replica.State switch
        {
            ReplicaState.Stopping => Stay(live, new Effect.Terminate(live.Generation)),
            ReplicaState.Killing or ReplicaState.Stuck => Stay(live, new Effect.Kill(live.Generation)),
            _ => Stay(live, new Effect.WatchStartup(live.Generation)),
        };
    }

    private static Step OnLaunchFailed(Replica replica, SupervisorEvent.LaunchFailed failed, in Circumstances now)
    {
        if (replica.Phase is not ProcessPhase.Launching)
        {
            return Stay(replica);
        }

        var report = new ExitReport(null, null, failed.Cause, failed.Message, now.WallNow, []);
        return End(replica with { LastExit = report }, new(failed.Cause, WasLaunched: false, IsOurs: failed.IsOurs), now);
    }

    private static Step OnWarmed(Replica replica, int slots, in Circumstances now)
    {
        var warm = replica with { Slots = slots, History = replica.History with { PortConflicts = 0, ModelRetries = 0 }, ReadinessPasses = null };
        ImmutableArray<Effect> begin =
            [new Effect.ReleasePermit(replica.Generation), new Effect.WatchReadiness(replica.Generation), new Effect.WatchLiveness(replica.Generation)];
        if (warm.Held)
        {
            return To(warm with { Drained = true }, ReplicaState.Draining, begin); // it never had work
        }

        var step = Serve(warm, now);
        return step with { Effects = step.Effects.AddRange(begin) };
    }

    private static Step OnReadiness(Replica replica, SupervisorEvent.ReadinessChanged readiness, in Circumstances now)
    {
        var told = replica with { ReadinessPasses = readiness.Healthy, ReadinessFinding = readiness.Finding, IsSilent = readiness.IsSilent };
        return IsServing(replica) && replica.State is not ReplicaState.Draining ? Serve(told, now) : Stay(told);
    }

    private static Step OnLiveness(Replica replica, SupervisorEvent.LivenessChanged liveness, in Circumstances now)
    {
        var told = replica with
        {
            Liveness = liveness.Health,
            LivenessFinding = liveness.Finding,
            IsWorking = liveness.IsWorking,
            LeakedSlots = liveness.Leaked,
        };
        return IsServing(replica) && replica.State is not ReplicaState.Draining ? Serve(told, now) : Stay(told);
    }

    /// <summary>It was started and does not serve yet.</summary>
    private static bool IsComingUp(Replica replica) => replica.State is ReplicaState.Starting or ReplicaState.Loading or ReplicaState.Warming;

    /// <summary>Its process is up and wanted: probes may speak.</summary>
    private static bool IsServing(Replica replica) =>
        replica.State is ReplicaState.Ready or ReplicaState.Busy or ReplicaState.NotReady or ReplicaState.Draining;

    private static Step OnDrained(Replica replica, int epoch, in Circumstances now)
    {
        if (replica.State is not ReplicaState.Draining || epoch != replica.DrainEpoch)
        {
            return Stay(replica);
        }

        var drained = replica with { Drained = true };
        return replica.Afterwards is Afterwards.Policy ? Stay(drained) : Terminate(drained, now);
    }

    /// <summary>The first word of an end: whatever comes next, no work may go there from now on.</summary>
    private static Step OnDied(Replica replica)
    {
        if (replica.Phase is not ProcessPhase.Alive)
        {
            return Stay(replica);
        }

        var dead = replica with { Phase = ProcessPhase.Dead };
        return replica.State is ReplicaState.Stopping or ReplicaState.Killing or ReplicaState.Stuck
            ? Stay(dead)
            : WithTimer(dead, ReplicaState.Killing, KillTimeout);
    }

    private static Step OnExited(Replica replica, ExitEvidence evidence, in Circumstances now)
    {
        if (replica.Phase is not (ProcessPhase.Alive or ProcessPhase.Dead))
        {
            return Stay(replica);
        }

        var read = ExitCauseClassifier.Read(now.Options.Kind, evidence, replica.Signalled, replica.KilledFor, replica.KilledBecause);
        var report = new ExitReport(read.Code, read.Signal, read.Cause, read.Advice, now.WallNow, evidence.Tail);
        return End(replica with { LastExit = report }, new(read.Cause, replica.ReadySince is { } since ? now.Now - since : TimeSpan.Zero), now);
    }

    private static Step OnTimer(Replica replica, in Circumstances now) => replica.State switch
    {
        ReplicaState.Draining when replica.Afterwards is not Afterwards.Policy => Terminate(replica, now),
        ReplicaState.Stopping => Kill(replica),
        ReplicaState.Killing => To(replica, ReplicaState.Stuck),
        ReplicaState.Failed when replica.AwaitsChange => Stay(
            replica,
            new Effect.CheckFiles(replica.Generation, replica.Epoch),
            new Effect.SetTimer(replica.Generation, replica.Epoch, FileCheckPeriod)),
        ReplicaState.Backoff or ReplicaState.Failed => Queue(replica, replica.StartCost, isRestart: true),
        ReplicaState.Ready => Stay(replica with { History = RestartHistory.Empty }),
        _ => Stay(replica),
    };

    /// <summary>The process of this generation is gone, or never came to be.</summary>
    private static Step End(Replica replica, in Ending ending, in Circumstances now)
    {
        var retire = new Effect.Retire(replica.Generation);
        var gone = replica with
        {
            Phase = ProcessPhase.None,
            Process = null,
            Slots = 0,
            StartupPassed = false,
            ReadinessPasses = null,
            ReadinessFinding = null,
            IsSilent = false,
            Liveness = null,
            LivenessFinding = null,
            IsWorking = false,
            LeakedSlots = 0,
            ReadySince = null,
        };
        switch (replica.Afterwards)
        {
            case Afterwards.Stop:
                return To(gone, ReplicaState.Stopped, retire);
            case Afterwards.Restart:
                return After(retire, Queue(gone, cost: 0, isRestart: true));
        }

        var decision = RestartPolicy.Decide(now.Options.Restart, gone.History, ending, now.Now, now.Random);
        gone = gone with { History = decision.History, StartCost = decision.Cost };
        return After(retire, decision.Action switch
        {
            RestartAction.Restart when decision.Delay == TimeSpan.Zero => Queue(gone, decision.Cost, isRestart: true),
            RestartAction.Restart => WaitToRetry(gone, ReplicaState.Backoff, decision.Delay, now),
            RestartAction.SlowRetry => WaitToRetry(gone, ReplicaState.Failed, decision.Delay, now),
            RestartAction.Hold => To(gone, ReplicaState.Failed),
            RestartAction.Await => WithTimer(gone, ReplicaState.Failed, FileCheckPeriod) is var step ? step with { Next = step.Next with { AwaitsChange = true } } : default,
            _ => To(gone, ReplicaState.Stopped),
        });
    }

    private static Step Queue(Replica replica, int cost, bool isRestart)
    {
        var queued = replica with
        {
            Generation = replica.Generation + 1,
            Afterwards = Afterwards.Policy,
            Signalled = false,
            KilledFor = null,
            KilledBecause = null,
            Drained = false,
            DrainEpoch = -1,
            StartCost = cost,
            StartIsRestart = isRestart,
        };
        return To(queued, ReplicaState.Queued, new Effect.RequestPermit(queued.Generation));
    }

    /// <summary>Ready, not ready or busy, as the probes say; stays as it is when it is that already.</summary>
    private static Step Serve(Replica replica, in Circumstances now)
    {
        var state = replica switch
        {
            { Liveness: LivenessHealth.Stopped or LivenessHealth.Hung } => ReplicaState.NotReady,
            { Liveness: LivenessHealth.Busy } or { ReadinessPasses: false, IsSilent: true, IsWorking: true } => ReplicaState.Busy,
            { ReadinessPasses: false } => ReplicaState.NotReady,
            _ => ReplicaState.Ready,
        };
        if (state == replica.State)
        {
            return Stay(replica);
        }

        // A busy spell does not break a healthy life; not being ready does.
        TimeSpan? since = state is ReplicaState.NotReady ? null : replica is { State: ReplicaState.Ready or ReplicaState.Busy, ReadySince: { } before } ? before : now.Now;
        var served = replica with { ReadySince = since };
        if (state is not ReplicaState.Ready)
        {
            return To(served, state);
        }

        var left = now.Options.Restart.StableAfter - (now.Now - since!.Value);
        return WithTimer(served, state, left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1));
    }

    private static Step BeginDrain(Replica replica, TimeSpan? limit)
    {
        var draining = replica with { Drained = false, DrainEpoch = replica.Epoch + 1 };
        var await = new Effect.AwaitDrained(replica.Generation, draining.DrainEpoch);
        return limit is { } time
            ? To(draining, ReplicaState.Draining, await, new Effect.SetTimer(replica.Generation, replica.Epoch + 1, time))
            : To(draining, ReplicaState.Draining, await);
    }

    private static Step Terminate(Replica replica, in Circumstances now)
    {
        var effects = Drop(replica);
        if (replica.Phase is ProcessPhase.Alive)
        {
            effects = effects.Add(new Effect.Terminate(replica.Generation));
        }

        return To(replica with { Signalled = true }, ReplicaState.Stopping,
            [.. effects, new Effect.SetTimer(replica.Generation, replica.Epoch + 1, now.Options.StopTimeout)]);
    }

    private static Step Kill(Replica replica)
    {
        var effects = Drop(replica);
        if (replica.Phase is ProcessPhase.Alive)
        {
            effects = effects.Add(new Effect.Kill(replica.Generation));
        }

        return To(replica with { Signalled = true }, ReplicaState.Killing,
            [.. effects, new Effect.SetTimer(replica.Generation, replica.Epoch + 1, KillTimeout)]);
    }

    /// <summary>llama-server neither finishes nor ends open requests on SIGTERM: whoever still holds one is cut off first.</summary>
    private static ImmutableArray<Effect> Drop(Replica replica) =>
        replica.State is ReplicaState.Ready or ReplicaState.Busy or ReplicaState.NotReady or ReplicaState.Draining
            ? [new Effect.DropTraffic(replica.Generation)]
            : [];

    private static Step WaitToRetry(Replica replica, ReplicaState state, TimeSpan delay, in Circumstances now) =>
        WithTimer(replica, state, delay) is var step ? step with { Next = step.Next with { NextTryAt = now.WallNow + delay } } : default;

    private static Step WithTimer(Replica replica, ReplicaState state, TimeSpan delay) =>
        To(replica, state, new Effect.SetTimer(replica.Generation, replica.Epoch + 1, delay));

    private static Step To(Replica replica, ReplicaState state, params ImmutableArray<Effect> effects) =>
        new(replica with { State = state, Epoch = replica.Epoch + 1, NextTryAt = null, AwaitsChange = false }, effects);

    private static Step Stay(Replica replica, params ImmutableArray<Effect> effects) => new(replica, effects);

    private static Step After(Effect first, Step step) => step with { Effects = [first, .. step.Effects] };
}
