using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Orphans;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>Carries out effects for one replica. Started by its supervisor's loop only, never awaited; what comes of it goes back as an event.</summary>
internal sealed class ReplicaEffects(
    ReplicaSetOptions first, int index, ReplicaSurroundings around, LivenessPool pool, IReplicaTraffic traffic, OutputRing output, Action<SupervisorEvent> post)
    : IDisposable
{
    /// <summary>Lines of output that are kept with the report of an end.</summary>
    private const int TailLines = 50;

    private readonly string _backend = $"{first.Model}/{index.ToString(CultureInfo.InvariantCulture)}";

    /// <summary>Newer options of the same revision.</summary>
    private ReplicaSetOptions? _adopted;

    /// <summary>The options as they are now. A launch takes the share of cores and memory that a replica has now.</summary>
    private ReplicaSetOptions Options => Volatile.Read(ref _adopted) ?? first;

    /// <summary>At most two: one that ends and one that begins. Only the supervisor's loop touches it.</summary>
    private readonly Dictionary<int, Generation> _generations = [];

    /// <summary>The timer of backoff or slow retry: it runs between two generations.</summary>
    private ITimer? _waiting;

    /// <summary>The command's files as they were at the last launch, and at the last look since.</summary>
    private ImmutableArray<string> _filesAtLaunch;
    private ImmutableArray<string> _filesAtLastLook;

    /// <summary>Takes over options of the same revision.</summary>
    public void Adopt(ReplicaSetOptions options) => Volatile.Write(ref _adopted, options);

    public void Start(Effect effect)
    {
        switch (effect)
        {
            case Effect.RequestPermit request:
                var born = _generations[request.Generation] = new(request.Generation);
                Run(effect, born, RequestPermitAsync);
                break;
            case Effect.Retire retire:
                if (_generations.Remove(retire.Generation, out var over))
                {
                    over.Dispose();
                    around.Metrics?.Forget(_backend);
                }

                break;
            case Effect.ReleasePermit release when Find(release.Generation) is { } generation:
                generation.ReleasePermit();
                break;
            case Effect.Launch launch when Find(launch.Generation) is { } generation:
                _filesAtLastLook = _filesAtLaunch = CommandFiles.Stamp(Options, index);
                Run(effect, generation, LaunchAsync);
                break;
            case Effect.WatchStartup watch when Find(watch.Generation) is { } generation:
                WatchStartup(generation);
                break;
            case Effect.Warm warm when Find(warm.Generation) is { } generation:
                generation.EndProbes();
                Run(effect, generation, async it => post(await Warming.RunAsync(Options, _backend, it, around.Time, around.Logger)));
                break;
            case Effect.WatchReadiness watch when Find(watch.Generation) is { } generation:
                WatchReadiness(generation);
                break;
            case Effect.WatchLiveness watch when Find(watch.Generation) is { } generation:
                pool.Up(index);
                WatchLiveness(generation);
                break;
            case Effect.Continue @continue when Find(@continue.Generation) is { } generation:
                Log.Continued(around.Logger, _backend);
                generation.Child?.Continue();
                break;
            case Effect.CheckFiles check:
                CheckFiles(check);
                break;
            case Effect.AwaitDrained drain when Find(drain.Generation) is { } generation:
                var token = generation.BeginDrain();
                Run(effect, generation, it => AwaitDrainedAsync(it, drain.Epoch, token));
                break;
            case Effect.DropTraffic drop:
                traffic.Drop(_backend, drop.Generation);
                break;
            case Effect.Terminate terminate when Find(terminate.Generation) is { } generation:
                generation.EndProbes();
                generation.Child?.Terminate();
                break;
            case Effect.Kill kill when Find(kill.Generation) is { } generation:
                generation.EndProbes();
                generation.Child?.Kill();
                break;
            case Effect.SetTimer timer:
                SetTimer(timer);
                break;
        }
    }

    private Generation? Find(int generation) => _generations.GetValueOrDefault(generation);

    private void Run(Effect effect, Generation generation, Func<Generation, Task> run) => _ = Task.Run(async () =>
    {
        try
        {
            await run(generation);
        }
        catch (OperationCanceledException) when (generation.Over.IsCancellationRequested)
        {
            // The generation is over: nobody waits for this any more.
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.EffectFailed(around.Logger, _backend, effect.GetType().Name, e);
        }
    });

    private async Task RequestPermitAsync(Generation generation)
    {
        generation.HoldPermit(await around.Permits.AcquireAsync(generation.Over));
        post(new SupervisorEvent.PermitGranted(generation.Number));
    }

    private async Task LaunchAsync(Generation generation)
    {
        LiveProcess process;
        try
        {
            if (await TryLaunchAsync(generation) is { } problem)
            {
                post(new SupervisorEvent.LaunchFailed(generation.Number, problem.Cause, problem.Message));
                return;
            }

            process = generation.Process!;
        }
        catch (StateFileException e)
        {
            post(new SupervisorEvent.LaunchFailed(generation.Number, ExitCause.PermanentConfig, e.Message, IsOurs: true));
            return;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The system refused: no process, no descriptors, no memory. That may pass.
            post(new SupervisorEvent.LaunchFailed(generation.Number, ExitCause.Crash, $"It could not be launched: {e.Message}"));
            return;
        }

        post(new SupervisorEvent.Launched(generation.Number, process));
        await FollowToTheEndAsync(generation);
    }

    private async Task<PreflightProblem?> TryLaunchAsync(Generation generation)
    {
        var (program, problem) = Preflight.FindProgram(Options.Executable, Environment.GetEnvironmentVariable("PATH"));
        if (program is null)
        {
            return problem;
        }

        if (Preflight.CheckWorkingDirectory(Options.WorkingDirectory) is { } noFolder)
        {
            return noFolder;
        }

        var (before, unpinned) = Preflight.Pin(Options, index, CoreShare.Allowed(), Environment.GetEnvironmentVariable("PATH"));
        if (unpinned is not null)
        {
            return unpinned;
        }

        if (AddressLease.Rent(Options, around.Ports, around.Sockets) is not { } lease)
        {
            return new(ExitCause.PortConflict, $"No port from {Options.FirstPort} to {Options.LastPort} is free. Give the model another range of Ports.");
        }

        generation.Hold(lease);
        var place = new LaunchPlace(lease.Host, lease.Port, index);
        var arguments = CommandLine.Build(Options, place, Environment.ProcessorCount);
        if (CommandLine.PlaceProblem(Options, arguments, place) is { } wrong)
        {
            return new(ExitCause.PermanentConfig, wrong);
        }

        if (Preflight.CheckModel(Options, arguments) is { } noModel)
        {
            return noModel;
        }

        var key = Options.Kind is ReplicaKind.Command
            ? null
            : CommandLine.ConfiguredKey(arguments, Options.Environment) ?? RandomNumberGenerator.GetHexString(64, lowercase: true);
        var inherited = Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>()
            .Select(variable => KeyValuePair.Create((string)variable.Key, (string?)variable.Value));
        var request = new LaunchRequest(
            _backend, program, arguments, LaunchEnvironment.Build(inherited, Options, place, key), Options.WorkingDirectory,
            line => output.Add(generation.Number, key is null ? line : line.Replace(key, "[key]", StringComparison.Ordinal)))
        {
            Generation = generation.Number,
            Before = before,
            Address = lease.Address.ToString(),
        };
        var child = await around.Launcher.LaunchAsync(request, generation.Over);
        generation.Hold(child);
        generation.Child = child;
        if (around.Samples?.Watch(_backend, generation.Number, child.Pid) is { } watch)
        {
            generation.Hold(watch);
        }

        generation.Arguments = arguments;
        generation.Process = new(child.Pid, lease.Address, key, around.Time.GetUtcNow());
        Log.Launched(around.Logger, _backend, child.Pid, string.Join(' ', CommandLine.Masked(arguments).Prepend(program)));
        return null;
    }

    private async Task FollowToTheEndAsync(Generation generation)
    {
        var child = generation.Child!;
        var kills = ProcFs.OomKills();
        var code = await child.Ended;

        // Said first and by itself: the backend must leave "ready" before anything else, and cleaning up takes its time.
        post(new SupervisorEvent.Died(generation.Number));
        await child.CleanUpAsync(CancellationToken.None);
        var evidence = new ExitEvidence(code, ProcFs.OomKills() > kills, output.Tail(TailLines, generation.Number));
        post(new SupervisorEvent.Exited(generation.Number, evidence));
    }

    private void WatchStartup(Generation generation)
    {
        var (process, child) = (generation.Process!, generation.Child!);
        var watch = new StartupWatch(
            generation.Number,
            Options.Startup,
            () => ListenerOwner.Of(process.Address, child.Pid),
            () => child.Sample() with { LogLines = output.Written },
            () => child.Look(wholeGroup: false).IsStopped,
            around.Time,
            post);
        generation.SetProbe(Probing(generation, "startup", Options.Startup, watch.Add));
    }

    private void WatchReadiness(Generation generation)
    {
        if (Options.Readiness is { } readiness)
        {
            generation.SetProbe(Probing(generation, "readiness", readiness, report =>
            {
                if (report.Changed)
                {
                    post(new SupervisorEvent.ReadinessChanged(
                        generation.Number,
                        report.Verdict.Health is ProbeHealth.Healthy,
                        report.Result.ToString(),
                        report.Result.Reason is ProbeReason.Timeout));
                }
            }));
        }
    }

    private void WatchLiveness(Generation generation)
    {
        switch (Options.Liveness)
        {
            case null:
                break;
            case { Kind: ProbeKind.Progress } progress:
                var over = generation.BeginLiveness();
                Run(new Effect.WatchLiveness(generation.Number), generation, it => FollowProgressAsync(it, progress, over));
                break;
            case { } asking:
                generation.SetLivenessProbe(Probing(generation, "liveness", asking, report => OnLiveness(generation.Number, asking, report)));
                break;
        }
    }

    private async Task FollowProgressAsync(Generation generation, ProbeOptions progress, CancellationToken over)
    {
        using var senses = new LivenessSenses(_backend, generation.Number, generation.Child!, generation.Process!, traffic, around.Samples, progress.Timeout);
        var watch = new LivenessWatch(
            generation.Number, index, progress, () => LivenessLimits.Of(Options, progress), pool, senses, around.Time, around.Random,
            around.Metrics?.Counting(_backend, "liveness", _ => { }), post);
        try
        {
            await watch.RunAsync(over);
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            // The process is being ended.
        }
    }

    /// <summary>A liveness probe that asks: as many failures in a row as it is allowed, and the process hangs.</summary>
    private void OnLiveness(int generation, ProbeOptions probe, BackendReport report)
    {
        var (health, finding) = (LivenessHealth.Alive, default(string));
        if (report.Verdict.Health is ProbeHealth.Unhealthy)
        {
            finding = $"Its liveness probe failed {report.Verdict.Failures} times in a row: {report.Result}.";
            switch (pool.Ask(index, probe.Period))
            {
                case KillAnswer.Kill:
                    post(new SupervisorEvent.FoundHung(generation, finding));
                    return;
                case var answer:
                    health = answer is KillAnswer.Panic ? LivenessHealth.Suspect : LivenessHealth.Hung;
                    break;
            }
        }
        else
        {
            pool.Well(index);
        }

        if (report.Changed || health is not LivenessHealth.Alive)
        {
            post(new SupervisorEvent.LivenessChanged(generation, health, Finding: finding));
        }
    }

    private ProbeLoop Probing(Generation generation, string name, ProbeOptions probe, Action<BackendReport> report) => ProbeLoop.Start(
        Probe.Create(probe, generation.Process!.Address, generation.Process.ApiKey, around.Time),
        probe, around.Metrics?.Counting(_backend, name, report) ?? report, around.Time, around.Random, around.Logger, generation.Over);

    private async Task AwaitDrainedAsync(Generation generation, int epoch, CancellationToken token)
    {
        try
        {
            await traffic.DrainedAsync(_backend, generation.Number, token);
            post(new SupervisorEvent.Drained(generation.Number, epoch));
        }
        catch (OperationCanceledException) when (token.IsCancellationRequested)
        {
            // Resumed, or over.
        }
    }

    /// <summary>A file that is still being copied changes from look to look: only one that stays as it is deserves a start.</summary>
    private void CheckFiles(Effect.CheckFiles check)
    {
        var now = CommandFiles.Stamp(Options, index);
        if (!now.SequenceEqual(_filesAtLaunch) && now.SequenceEqual(_filesAtLastLook))
        {
            post(new SupervisorEvent.FilesChanged(check.Generation, check.Epoch));
        }

        _filesAtLastLook = now;
    }

    private void SetTimer(Effect.SetTimer timer)
    {
        var due = around.Time.CreateTimer(
            _ => post(new SupervisorEvent.TimerFired(timer.Generation, timer.Epoch)), null, timer.Delay, Timeout.InfiniteTimeSpan);
        if (Find(timer.Generation) is { } generation)
        {
            generation.SetTimer(due);
        }
        else
        {
            _waiting?.Dispose();
            _waiting = due;
        }
    }

    public void Dispose()
    {
        _waiting?.Dispose();
        foreach (var generation in _generations.Values)
        {
            generation.Dispose();
        }

        _generations.Clear();
    }
}
