using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Tests.Supervision;

/// <summary>A world around the pure transitions: effects become reports that arrive late, out of order, twice or never; anything may crash.</summary>
internal sealed class ReplicaSimulation(Random random)
{
    private static readonly ExitCause[] LaunchCauses = [ExitCause.PermanentConfig, ExitCause.ModelInvalid, ExitCause.PortConflict, ExitCause.Crash];
    private static readonly int[] ExitCodes = [0, 1, 127, 132, 134, 137, 139, 143];

    private readonly ReplicaSetOptions _options = new()
    {
        Model = "m",
        Kind = ReplicaKind.LlamaServer,
        Executable = "x",
        Restart = new()
        {
            Policy = (RestartPolicyKind)random.Next(3),
            MaxRestarts = random.Next(6),
            OnExhausted = (RestartExhausted)random.Next(2),
            StableAfter = TimeSpan.FromSeconds(random.Next(1, 1200)),
        },
    };

    private readonly List<SupervisorEvent> _pending = [];
    private readonly List<SupervisorEvent> _past = [];
    private readonly List<(TimeSpan Due, SupervisorEvent.TimerFired Event)> _timers = [];
    private readonly List<TimeSpan> _counted = [];
    private readonly HashSet<int> _open = [];
    private TimeSpan _now;
    private int? _living; // generation of the process that lives
    private bool _dying;
    private int _failures;

    public Replica Replica { get; private set; } = new();

    public HashSet<ReplicaState> Seen { get; } = [];

    public void Run(int steps)
    {
        Deliver(new SupervisorEvent.Asked(ReplicaVerb.Start));
        for (var i = 0; i < steps; i++)
        {
            Step();
        }

        // However it stood: a stop leads to "stopped", with no process, nothing held and nobody forgotten.
        Deliver(new SupervisorEvent.Asked(ReplicaVerb.Stop));
        for (var i = 0; i < 200 && Replica.State is not ReplicaState.Stopped; i++)
        {
            if (CanDie && random.Next(4) == 0)
            {
                Die();
            }

            Settle();
        }

        Check(Replica.State is ReplicaState.Stopped, $"stop ended in {Replica.State}");
        Check(_living is null && Replica.Phase is ProcessPhase.None, "a process outlived the stop");
        Check(_open.Count == 0, "a generation was never retired");
    }

    /// <summary>A process may end at any time, but its end is reported after its launch.</summary>
    private bool CanDie => _living is not null && !_dying && Replica.Phase is ProcessPhase.Alive;

    private void Step()
    {
        switch (random.Next(12))
        {
            case < 5 when _pending.Count > 0:
                DeliverPending(random.Next(_pending.Count));
                break;
            case < 7 when _timers.Count > 0:
                FireNext();
                break;
            case 7 when CanDie && random.Next(3) == 0:
                Die();
                break;
            case 8:
                Deliver(new SupervisorEvent.Asked((ReplicaVerb)random.Next(6)));
                break;
            case 9 when _past.Count > 0:
                Deliver(_past[random.Next(_past.Count)]); // once more, or from a generation long gone
                break;
            case 10:
                _now += TimeSpan.FromSeconds(random.NextDouble() * (random.Next(20) == 0 ? 2000 : 20));
                break;
            case 11 when Replica.Phase is ProcessPhase.Alive:
                Deliver(random.Next(8) switch
                {
                    0 => new SupervisorEvent.FoundHung(Replica.Generation, "x"),
                    1 => new SupervisorEvent.ContinueDue(Replica.Generation),
                    < 4 => new SupervisorEvent.LivenessChanged(Replica.Generation, (LivenessHealth)random.Next(5), random.Next(2) == 0, random.Next(3), "x"),
                    _ => new SupervisorEvent.ReadinessChanged(Replica.Generation, random.Next(2) == 0, "x", random.Next(2) == 0),
                });
                break;
            case 0 when random.Next(20) == 0:
                Deliver(new SupervisorEvent.HurryAsked());
                break;
        }
    }

    private void Settle()
    {
        if (_pending.Count > 0)
        {
            DeliverPending(0);
        }
        else if (_timers.Count > 0)
        {
            FireNext();
        }
    }

    private void FireNext()
    {
        var next = _timers.MinBy(timer => timer.Due);
        _timers.Remove(next);
        _now = next.Due > _now ? next.Due : _now;
        Deliver(next.Event);
    }

    private void DeliverPending(int index)
    {
        var @event = _pending[index];
        _pending.RemoveAt(index);
        Deliver(@event);
    }

    private void Die()
    {
        _dying = true;
        _pending.Add(new SupervisorEvent.Died(_living!.Value));
        if (random.Next(2) == 0)
        {
            DeliverPending(_pending.Count - 1);
        }

        _pending.Add(new SupervisorEvent.Exited(_living.Value, new(ExitCodes[random.Next(ExitCodes.Length)], random.Next(5) == 0, [])));
    }

    private void Deliver(SupervisorEvent @event)
    {
        // The world's truth comes first: a real Exited is said once, and the process is gone then.
        var isTrueExit = @event is SupervisorEvent.Exited exited && exited.Generation == _living && _dying && !_past.Contains(@event);
        if (@event is SupervisorEvent.Exited or SupervisorEvent.Launched or SupervisorEvent.LaunchFailed && _past.Contains(@event))
        {
            return; // effects report these once; the others may well repeat
        }

        if (isTrueExit)
        {
            (_living, _dying) = (null, false);
        }

        var before = Replica;
        var step = ReplicaTransitions.Apply(before, @event, new(_options, _now, DateTimeOffset.UnixEpoch + _now, random.NextDouble()));
        Replica = step.Next;
        _past.Add(@event);
        Seen.Add(Replica.State);
        if (Replica.History.Failures == 0 && !ReferenceEquals(before.History, Replica.History) && before.History.Failures > 0)
        {
            _failures = 0;
            _counted.Clear(); // reset, or stable
        }

        CheckState(before, @event, step);
        foreach (var effect in step.Effects)
        {
            Start(effect, before);
        }
    }

    private void CheckState(Replica before, SupervisorEvent @event, Step step)
    {
        var status = ReplicaStatusView.Of(_options, 0, Replica, _now);
        Check(status.IsRoutable == (Replica.State is ReplicaState.Ready), "routable is ready");
        Check(!status.IsRoutable || (Replica.Phase is ProcessPhase.Alive && Replica.Process is not null && Replica.Slots > 0), "ready without a process or slots");
        Check(!status.IsRoutable || !Replica.Held, "ready though drained by an operator");
        Check(status.IsRoutable == (status.NotRoutableBecause is null), "a reason goes with not being routable");
        Check(@event is not SupervisorEvent.Report report || report.Generation == before.Generation || (Replica == before && step.Effects.IsEmpty),
            "a report of another generation changed something");
        Check(Replica.Generation >= before.Generation, "generations go up");
        if (Replica.State is ReplicaState.Backoff && before.State is not ReplicaState.Backoff)
        {
            _failures++;
            var restart = _options.Restart;
            var formula = Math.Min(restart.MaxBackoff.TotalSeconds, restart.InitialBackoff.TotalSeconds * Math.Pow(2, Math.Min(_failures - 1, 40)));
            var delay = step.Effects.OfType<Effect.SetTimer>().Single().Delay.TotalSeconds;
            Check(delay >= formula * 0.75 - 1e-3 && (delay <= formula * 1.25 + 1e-3 || delay == 10), $"delay {delay} for failure {_failures}, formula {formula}");
        }
        else if (Replica.History.Failures > before.History.Failures)
        {
            _failures++;
        }
    }

    private void Start(Effect effect, Replica before)
    {
        switch (effect)
        {
            case Effect.RequestPermit permit:
                Check(_open.Add(permit.Generation), "two permits for one generation");
                _pending.Add(new SupervisorEvent.PermitGranted(permit.Generation));
                break;
            case Effect.Launch launch:
                Check(_living is null, "two processes live");
                if (before is { State: ReplicaState.Queued, StartCost: > 0, History.Exhausted: false })
                {
                    _counted.AddRange(Enumerable.Repeat(_now, before.StartCost));
                    Check(_counted.Count(at => at > _now - _options.Restart.Window) <= _options.Restart.MaxRestarts, "more restarts than the budget allows");
                }

                if (random.Next(6) == 0)
                {
                    _pending.Add(new SupervisorEvent.LaunchFailed(launch.Generation, LaunchCauses[random.Next(LaunchCauses.Length)], "no"));
                    break;
                }

                _living = launch.Generation;
                _pending.Add(new SupervisorEvent.Launched(launch.Generation, new(launch.Generation, BackendAddress.Tcp("127.0.0.1", 1), null, default)));
                break;
            case Effect.WatchStartup watch:
                _pending.Add(new SupervisorEvent.Answered(watch.Generation));
                _pending.Add(random.Next(5) == 0
                    ? new SupervisorEvent.StartupFailed(watch.Generation, random.Next(2) == 0 ? ExitCause.PortConflict : ExitCause.StartTimeout, "x")
                    : new SupervisorEvent.StartupPassed(watch.Generation));
                break;
            case Effect.Warm warm:
                _pending.Add(random.Next(8) == 0
                    ? new SupervisorEvent.StartupFailed(warm.Generation, ExitCause.PortConflict, "x")
                    : new SupervisorEvent.Warmed(warm.Generation, 4));
                break;
            case Effect.AwaitDrained drain:
                Check(Replica.State is ReplicaState.Draining, "waits for the drain before it is published");
                if (random.Next(3) > 0)
                {
                    _pending.Add(new SupervisorEvent.Drained(drain.Generation, drain.Epoch));
                }

                break;
            case Effect.DropTraffic:
                Check(Replica.State is ReplicaState.Stopping or ReplicaState.Killing, "drops traffic of a replica that serves");
                break;
            case Effect.Continue:
                Check(_living == Replica.Generation, "continues a process that is not there");
                break;
            case Effect.Terminate or Effect.Kill:
                Check(_living == Replica.Generation, "signals a process that is not there");
                if (!_dying && (effect is Effect.Kill ? random.Next(10) > 0 : random.Next(2) == 0))
                {
                    Die();
                }

                break;
            case Effect.SetTimer timer:
                _timers.Add((_now + timer.Delay, new(timer.Generation, timer.Epoch)));
                break;
            case Effect.Retire retire:
                Check(_open.Remove(retire.Generation), "retired twice, or never begun");
                Check(_living != retire.Generation, "retired while its process lives");
                break;
        }
    }

    private void Check(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(
                $"{what}; now {Replica.State}, phase {Replica.Phase}, generation {Replica.Generation}; last: {string.Join(" | ", _past.TakeLast(12))}");
        }
    }
}
