using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Supervision.Liveness;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Tests.Supervision;

/// <summary>A world around the pure transitions: effects become reports that arrive late, out of order, twice or never; anything may crash.</summary>
/// <remarks>
/// What is checked, by the numbers of the design:
/// I1 at most one process lives. I2 routable means ready, alive, of this generation. I3 counted restarts in any window stay within the budget.
/// I4 each process is reaped once, each generation retired once, nothing is left at the end. I5 each accepted request ends exactly once, and start
/// permits are conserved. I6 nothing is accepted once draining is published. I7 delays follow the formula, and no decision depends on the wall clock,
/// which jumps. I8 only a living process of this generation is signalled. I9 in a panic nothing is killed, and never more than the share is down.
/// I10 each change of state is one epoch and one line of the log.
/// </remarks>
internal sealed class ReplicaSimulation
{
    private const int Slots = 4;
    private static readonly ExitCause[] LaunchCauses = [ExitCause.PermanentConfig, ExitCause.ModelInvalid, ExitCause.PortConflict, ExitCause.Crash];
    private static readonly int[] ExitCodes = [0, 1, 127, 132, 134, 137, 139, 143];
    private static readonly TimeSpan Gather = TimeSpan.FromSeconds(5);

    private readonly Random _random;
    private readonly ReplicaSetOptions _options;
    private readonly int _poolSize;
    private readonly int _steps;
    private readonly List<SupervisorEvent> _pending = [];
    private readonly List<SupervisorEvent> _past = [];
    private readonly List<(TimeSpan Due, SupervisorEvent.TimerFired Event)> _timers = [];
    private readonly List<TimeSpan> _counted = [];
    private readonly HashSet<int> _open = [];
    private readonly HashSet<int> _retired = [];
    private readonly HashSet<int> _permits = [];
    private readonly HashSet<int> _hung = [];
    private readonly LineCounter _log = new();
    private TimeSpan _now;
    private TimeSpan _wallJump;
    private int? _living; // generation of the process that lives
    private bool _dying;
    private int _failures;
    private int _launched;
    private int _reaped;
    private int _inFlight;
    private int _accepted;
    private int _ended;
    private KillShare _share = new();
    private TimeSpan? _panicSince;

    public ReplicaSimulation(int seed)
    {
        _random = new(seed);
        _poolSize = _random.Next(1, 7);
        _steps = _random.Next(20, 140);
        _options = new()
        {
            Model = "m",
            Kind = ReplicaKind.LlamaServer,
            Executable = "x",
            Replicas = _poolSize,
            Restart = new()
            {
                Policy = _random.Next(4) is var policy && policy < 3 ? (RestartPolicyKind)policy : RestartPolicyKind.Always,
                MaxRestarts = _random.Next(6),
                Window = TimeSpan.FromSeconds(_random.Next(1, 600)),
                OnExhausted = (RestartExhausted)_random.Next(2),
                StableAfter = TimeSpan.FromSeconds(_random.Next(1, 1200)),
            },
        };
    }

    public Replica Replica { get; private set; } = new();

    public HashSet<ReplicaState> Seen { get; } = [];

    public void Run()
    {
        Deliver(new SupervisorEvent.Asked(ReplicaVerb.Start));
        for (var i = 0; i < _steps; i++)
        {
            Step();
        }

        // However it stood: a stop leads to "stopped", with no process, nothing held and nobody forgotten.
        Deliver(new SupervisorEvent.Asked(ReplicaVerb.Stop));
        for (var i = 0; i < 300 && Replica.State is not ReplicaState.Stopped; i++)
        {
            if (CanDie && _random.Next(4) == 0)
            {
                Die();
            }

            Settle();
        }

        Check(Replica.State is ReplicaState.Stopped, $"stop ended in {Replica.State}");
        Check(_living is null && Replica.Phase is ProcessPhase.None, "a process outlived the stop");
        Check(_launched == _reaped, $"{_launched} processes, {_reaped} reaped");
        Check(_open.Count == 0, "a generation was never retired");
        Check(_permits.Count == 0, "a start permit was never given back");
        Check(_inFlight == 0 && _accepted == _ended, $"{_accepted} requests accepted, {_ended} ended");
    }

    /// <summary>A process may end at any time, but its end is reported after its launch.</summary>
    private bool CanDie => _living is not null && !_dying && Replica.Phase is ProcessPhase.Alive;

    private bool IsRoutable => Replica.State is ReplicaState.Ready;

    private void Step()
    {
        switch (_random.Next(16))
        {
            case < 6 when _pending.Count > 0:
                DeliverPending(_random.Next(_pending.Count));
                break;
            case < 8 when _timers.Count > 0:
                FireNext();
                break;
            case 8 when CanDie && _random.Next(3) == 0:
                Die();
                break;
            case 9:
                Deliver(new SupervisorEvent.Asked((ReplicaVerb)_random.Next(6)));
                break;
            case 10 when _past.Count > 0:
                Deliver(_past[_random.Next(_past.Count)]); // once more, or from a generation long gone
                break;
            case 11:
                _now += TimeSpan.FromSeconds(_random.NextDouble() * (_random.Next(20) == 0 ? 2000 : 20));
                _wallJump = _random.Next(4) == 0 ? TimeSpan.FromHours((_random.NextDouble() * 4) - 2) : _wallJump;
                break;
            case 12 when Replica.Phase is ProcessPhase.Alive:
                Probe();
                break;
            case 13:
                Request();
                break;
            case 14:
                Pool();
                break;
            case 15 when Replica.AwaitsChange:
                Deliver(new SupervisorEvent.FilesChanged(Replica.Generation, Replica.Epoch));
                break;
            case 0 when _random.Next(20) == 0:
                Deliver(new SupervisorEvent.HurryAsked());
                break;
        }
    }

    private void Probe() => Deliver(_random.Next(8) switch
    {
        0 => new SupervisorEvent.ContinueDue(Replica.Generation),
        < 4 => new SupervisorEvent.LivenessChanged(Replica.Generation, (LivenessHealth)_random.Next(5), _random.Next(2) == 0, _random.Next(3), "x"),
        _ => new SupervisorEvent.ReadinessChanged(Replica.Generation, _random.Next(2) == 0, "x", _random.Next(2) == 0),
    });

    /// <summary>A request is sent to what takes work, or one that runs there ends.</summary>
    private void Request()
    {
        if (_random.Next(2) == 0 && _inFlight > 0)
        {
            End(1);
        }
        else if (IsRoutable && _inFlight < Slots)
        {
            (_accepted, _inFlight) = (_accepted + 1, _inFlight + 1);
        }
    }

    private void End(int requests) => (_ended, _inFlight) = (_ended + requests, _inFlight - requests);

    /// <summary>One of the pool begins or ceases to look hung, or is up again. Ours is number 0.</summary>
    private void Pool()
    {
        var index = _random.Next(_poolSize);
        switch (_random.Next(4))
        {
            case 0:
                _hung.Remove(index);
                _share = _share.Well(index, _poolSize, _now);
                break;
            case 1:
                _hung.Remove(index);
                _share = _share.Up(index, _poolSize, _now);
                break;
            default:
                _hung.Add(index);
                (_share, var answer) = _share.Ask(index, _poolSize, Gather, _now);
                TrackPanic();
                Check(answer is not KillAnswer.Kill || _panicSince is not { } since || _now - since >= KillShare.PanicPatience, "killed in a panic");
                Check(answer is not KillAnswer.Kill || _share.DownNow <= Math.Max(1, (int)(KillShare.Share * _poolSize)), "more than the share is down");
                if (answer is KillAnswer.Kill && index == 0)
                {
                    Deliver(new SupervisorEvent.FoundHung(Replica.Generation, "x"));
                }

                break;
        }

        TrackPanic();
    }

    private void TrackPanic()
    {
        var isPanic = _share.Suspects >= 2 && _share.Suspects * 2 > _poolSize;
        Check(isPanic == _share.IsPanic, "panic is more than half, and two at least");
        _panicSince = isPanic ? _panicSince ?? _now : null;
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
        if (_random.Next(2) == 0)
        {
            DeliverPending(_pending.Count - 1);
        }

        _pending.Add(new SupervisorEvent.Exited(_living.Value, new(ExitCodes[_random.Next(ExitCodes.Length)], _random.Next(5) == 0, [])));
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
            (_living, _dying, _reaped) = (null, false, _reaped + 1);
        }

        var before = Replica;
        var chance = _random.NextDouble();
        var now = new Circumstances(_options, _now, DateTimeOffset.UnixEpoch.AddYears(50) + _now + _wallJump, chance);
        var step = ReplicaTransitions.Apply(before, @event, now);
        Replica = step.Next;
        _past.Add(@event);
        Seen.Add(Replica.State);
        if (Replica.History.Failures == 0 && !ReferenceEquals(before.History, Replica.History) && before.History.Failures > 0)
        {
            _failures = 0;
            _counted.Clear(); // reset, or stable
        }

        CheckState(before, @event, step);
        CheckClockAndLog(before, @event, step, now);
        foreach (var effect in step.Effects)
        {
            Start(effect, before);
        }

        // Its process is gone, and whatever ran there with it: the gateway drops what names a generation that left.
        if (before.Phase is ProcessPhase.Alive && Replica.Phase is not ProcessPhase.Alive)
        {
            End(_inFlight);
        }
    }

    private void CheckState(Replica before, SupervisorEvent @event, Step step)
    {
        var status = ReplicaStatusView.Of(_options, 0, Replica, _now);
        Check(status.IsRoutable == IsRoutable, "routable is ready");
        Check(!status.IsRoutable || (Replica.Phase is ProcessPhase.Alive && Replica.Process?.Pid == Replica.Generation && Replica.Slots > 0), "ready without a process or slots");
        Check(!status.IsRoutable || !Replica.Held, "ready though drained by an operator");
        Check(status.IsRoutable == (status.NotRoutableBecause is null), "a reason goes with not being routable");
        Check(@event is not SupervisorEvent.Report report || report.Generation == before.Generation || (Replica == before && step.Effects.IsEmpty),
            "a report of another generation changed something");
        Check(Replica.Generation >= before.Generation, "generations go up");
        Check(Replica.State == before.State || Replica.Epoch > before.Epoch, "a change of state without an epoch of its own");
        Check(Replica.Epoch - before.Epoch is 0 or 1, "epochs go up by one");
        if (Replica.State is ReplicaState.Backoff && before.State is not ReplicaState.Backoff)
        {
            _failures++;
            var restart = _options.Restart;
            var formula = Math.Min(restart.MaxBackoff.TotalSeconds, restart.InitialBackoff.TotalSeconds * Math.Pow(2, Math.Min(_failures - 1, 40)));
            var delay = step.Effects.OfType<Effect.SetTimer>().Single().Delay.TotalSeconds;
            Check(delay >= (formula * 0.75) - 1e-3 && (delay <= (formula * 1.25) + 1e-3 || delay is 10), $"delay {delay} for failure {_failures}, formula {formula}");
        }
        else if (Replica.History.Failures > before.History.Failures)
        {
            _failures++;
        }
    }

    /// <summary>The same event at another time of day decides the same, and a change of state is told once. Looked at now and then: both cost more than the rest.</summary>
    private void CheckClockAndLog(Replica before, SupervisorEvent @event, Step step, in Circumstances now)
    {
        if (_past.Count % 16 != 0)
        {
            return;
        }

        var elsewhen = ReplicaTransitions.Apply(before, @event, now with { WallNow = now.WallNow.AddHours(-13) });
        Check(elsewhen.Effects.SequenceEqual(step.Effects), "an effect depends on the wall clock");
        Check(
            elsewhen.Next with { NextTryAt = step.Next.NextTryAt, LastExit = step.Next.LastExit, History = step.Next.History } == step.Next
                && elsewhen.Next.History.Restarts.SequenceEqual(step.Next.History.Restarts)
                && elsewhen.Next.History with { Restarts = step.Next.History.Restarts } == step.Next.History,
            "a decision depends on the wall clock");

        var status = ReplicaStatusView.Of(_options, 0, Replica, _now);
        _log.Lines = 0;
        StateLog.Write(_log, before, Replica, status, now);
        var expected = before.State == Replica.State && before.Generation == Replica.Generation ? 0 : 1;
        Check(_log.Lines == expected, $"{before.State} -> {Replica.State} made {_log.Lines} lines of log");
    }

    private void Start(Effect effect, Replica before)
    {
        switch (effect)
        {
            case Effect.RequestPermit permit:
                Check(_open.Add(permit.Generation), "two permits for one generation");
                _permits.Add(permit.Generation);
                _pending.Add(new SupervisorEvent.PermitGranted(permit.Generation));
                break;
            case Effect.ReleasePermit release:
                Check(_permits.Remove(release.Generation), "gave back a permit that it does not hold");
                break;
            case Effect.Launch launch:
                Launch(launch, before);
                break;
            case Effect.WatchStartup watch:
                _pending.Add(new SupervisorEvent.Answered(watch.Generation));
                _pending.Add(_random.Next(5) == 0
                    ? new SupervisorEvent.StartupFailed(watch.Generation, _random.Next(2) == 0 ? ExitCause.PortConflict : ExitCause.StartTimeout, "x")
                    : new SupervisorEvent.StartupPassed(watch.Generation));
                break;
            case Effect.Warm warm:
                _pending.Add(_random.Next(8) == 0
                    ? new SupervisorEvent.StartupFailed(warm.Generation, ExitCause.PortConflict, "x")
                    : new SupervisorEvent.Warmed(warm.Generation, Slots));
                break;
            case Effect.AwaitDrained drain:
                Check(Replica.State is ReplicaState.Draining, "waits for the drain before it is published");
                if (_random.Next(3) > 0)
                {
                    End(_inFlight);
                    _pending.Add(new SupervisorEvent.Drained(drain.Generation, drain.Epoch));
                }

                break;
            case Effect.DropTraffic:
                Check(Replica.State is ReplicaState.Stopping or ReplicaState.Killing, "drops traffic of a replica that serves");
                End(_inFlight);
                break;
            case Effect.Continue:
                Check(_living == Replica.Generation, "continues a process that is not there");
                break;
            case Effect.Terminate or Effect.Kill:
                Check(_living == Replica.Generation, "signals a process that is not there");
                Check(_inFlight == 0, "ends a process under requests that were not told");
                if (!_dying && (effect is Effect.Kill ? _random.Next(10) > 0 : _random.Next(2) == 0))
                {
                    Die();
                }

                break;
            case Effect.SetTimer timer:
                _timers.Add((_now + timer.Delay, new(timer.Generation, timer.Epoch)));
                break;
            case Effect.Retire retire:
                _permits.Remove(retire.Generation);
                Check(_open.Remove(retire.Generation) && _retired.Add(retire.Generation), "retired twice, or never begun");
                Check(_living != retire.Generation, "retired while its process lives");
                break;
        }
    }

    private void Launch(Effect.Launch launch, Replica before)
    {
        Check(_living is null, "two processes live");
        Check(!_retired.Contains(launch.Generation), "launches a generation that is over");
        if (before is { State: ReplicaState.Queued, StartCost: > 0, History.Exhausted: false })
        {
            _counted.AddRange(Enumerable.Repeat(_now, before.StartCost));
            Check(_counted.Count(at => at > _now - _options.Restart.Window) <= _options.Restart.MaxRestarts, "more restarts than the budget allows");
        }

        if (_random.Next(6) == 0)
        {
            _pending.Add(new SupervisorEvent.LaunchFailed(launch.Generation, LaunchCauses[_random.Next(LaunchCauses.Length)], "no", IsOurs: _random.Next(5) == 0));
            return;
        }

        (_living, _launched) = (launch.Generation, _launched + 1);
        _pending.Add(new SupervisorEvent.Launched(launch.Generation, new(launch.Generation, BackendAddress.Tcp("127.0.0.1", 1), null, default)));
    }

    private void Check(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(
                $"{what}; now {Replica.State}, phase {Replica.Phase}, generation {Replica.Generation}; last: {string.Join(" | ", _past.TakeLast(12))}");
        }
    }

    private sealed class LineCounter : ILogger
    {
        public int Lines { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Lines++;
    }
}
