using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Threading.Channels;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling.Residency;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Scaling;

/// <summary>The one owner of change: which models there are, which of them are loaded, and that everything that follows the configuration follows the same one.</summary>
/// <remarks>
/// A mailbox with one reader. After each message the pure <see cref="ResidencyDecision"/> says what to load, drain and unload; what that takes is
/// done beside the loop, one thing after another for each model, and reports back. Whether a model is idle is asked of its queue when it counts:
/// <see cref="Scheduler.Hold"/> closes it only if nothing runs and nobody waits.
/// </remarks>
internal sealed class ModelKeeper : IAsyncDisposable
{
    private static readonly TimeSpan LookPeriod = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan MinimumResidence = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan SizePeriod = TimeSpan.FromSeconds(10);

    /// <summary>A start that nobody has begun after this long was called back by an operator.</summary>
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(5);

    private readonly Channel<KeeperMessage> _mailbox = Channel.CreateBounded<KeeperMessage>(new BoundedChannelOptions(4096) { SingleReader = true });
    private readonly Dictionary<string, KeptModel> _kept = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly Lock _lock = new();
    private readonly LiveCatalogue _live;
    private readonly KeyRing _keys;
    private readonly BodyBudget _bodies;
    private readonly Scheduler _scheduler;
    private readonly BackendSources _sources;
    private readonly BackendRegistry _registry;
    private readonly ModelMemory _memory;
    private readonly EventFeed _feed;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ITimer _clock;
    private readonly Task _loop;
    private CancellationTokenSource _superseded = new();
    private int _lookPosted;

    /// <summary>False until the listeners are bound: nothing is launched for a gateway that can't be reached. The loop's own.</summary>
    private bool _isOpen;

    public ModelKeeper(
        LiveCatalogue live, KeyRing keys, BodyBudget bodies, Scheduler scheduler, BackendSources sources, BackendRegistry registry, ModelMemory memory, EventFeed feed, TimeProvider time, ILogger<ModelKeeper> logger)
    {
        (_live, _keys, _bodies, _scheduler, _sources, _registry, _memory, _feed, _time, _logger) = (live, keys, bodies, scheduler, sources, registry, memory, feed, time, logger);
        registry.Changed += OnBackendsChanged;
        scheduler.Demanded += OnDemanded;
        _clock = time.CreateTimer(_ => Look(), null, LookPeriod, LookPeriod);
        _loop = Task.Run(RunAsync);
    }

    /// <summary>What one process of each local model takes, as far as it is known.</summary>
    public FrozenDictionary<string, Footprint> Estimates { get; private set; } = FrozenDictionary<string, Footprint>.Empty;

    /// <summary>Brings in the models of the first configuration: from now on requests may wait for them. Nothing is started yet.</summary>
    public async Task PrepareAsync()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await _mailbox.Writer.WriteAsync(new KeeperMessage.Prepare(done));
        await done.Task;
    }

    /// <summary>Begins to load what is wanted; returns at once.</summary>
    public void Start() => Post(new KeeperMessage.Begin());

    /// <summary>Puts a configuration into force: only what differs is touched. A later call overtakes an earlier one that still waits for a backend.</summary>
    /// <param name="change">From the configuration in force to the wanted one.</param>
    /// <param name="hurry">Skips what is left of the drains of removed models.</param>
    /// <returns>One sentence for each model that is not as wanted.</returns>
    public async Task<ImmutableArray<string>> ApplyAsync(Func<ModelCatalogue, ModelCatalogue> change, CancellationToken hurry)
    {
        var superseded = Supersede();
        await _changing.WaitAsync(CancellationToken.None);
        try
        {
            var begun = new TaskCompletionSource<Task<ImmutableArray<string>>>(TaskCreationOptions.RunContinuationsAsynchronously);
            await _mailbox.Writer.WriteAsync(new KeeperMessage.Apply(change, begun, superseded, hurry), CancellationToken.None);
            return await await begun.Task;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Loads a model, or lets what runs on it finish and unloads it.</summary>
    /// <returns>Null when it is done; else one sentence that says why it is not.</returns>
    /// <exception cref="KeyNotFoundException">There is no such model.</exception>
    public async Task<string?> AskAsync(string model, bool toBeLoaded, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await _mailbox.Writer.WriteAsync(new KeeperMessage.Asked(model, toBeLoaded, done), cancellationToken);
        return await done.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Gives a model another number of replicas, until the next reload.</summary>
    /// <returns>Null when it is done; else one sentence that says why it is not.</returns>
    public async Task<string?> ScaleAsync(string model, int replicas, CancellationToken cancellationToken)
    {
        if (_live.Current.Models.FirstOrDefault(one => one.Name == model) is not { IsLocal: true } known)
        {
            return "Only a model with processes of the gateway's own can be scaled.";
        }

        if (replicas is < 0 or > 256 || (known.Options.Transport == ProcessManager.Replicas.ReplicaTransport.Tcp && replicas > known.Options.Ports.Count))
        {
            return $"It can have 0 to 256 replicas, and no more than ports: {known.Options.Ports.Count}.";
        }

        var problems = await ApplyAsync(
            now => now.Models.Any(one => one.Name == model)
                ? new(now.Options with { Models = now.Options.Models.ToDictionary(pair => pair.Key, pair => pair.Key == model ? pair.Value with { Replicas = replicas } : pair.Value) })
                : now,
            cancellationToken);
        _feed.Publish(EventKind.Model, model, $"{model} has {replicas} replicas now.", to: "scaled");
        return problems.FirstOrDefault(problem => problem.StartsWith($"Models:{model}:", StringComparison.Ordinal));
    }

    /// <summary>Decides nothing more. What was begun goes on.</summary>
    public async Task StopAsync()
    {
        _registry.Changed -= OnBackendsChanged;
        _scheduler.Demanded -= OnDemanded;
        await _clock.DisposeAsync();
        _mailbox.Writer.TryComplete();
        await _loop;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _superseded.Dispose();
        _changing.Dispose();
    }

    private CancellationToken Supersede()
    {
        lock (_lock)
        {
            _superseded.Cancel();
            _superseded.Dispose();
            _superseded = new();
            return _superseded.Token;
        }
    }

    private void OnBackendsChanged(BackendSnapshot snapshot) => Look();

    private void OnDemanded(string model) => Post(new KeeperMessage.Demanded(model));

    private void Look()
    {
        if (Interlocked.Exchange(ref _lookPosted, 1) == 0)
        {
            Post(new KeeperMessage.Look());
        }
    }

    /// <summary>A message that finds the mailbox full is not needed: the clock looks at everything twice a second. The ends of work are another matter.</summary>
    private void Post(KeeperMessage message)
    {
        if (!_mailbox.Writer.TryWrite(message) && message is KeeperMessage.Begin or KeeperMessage.Ended or KeeperMessage.Removed)
        {
            _ = PostLaterAsync(message);
        }
    }

    private async Task PostLaterAsync(KeeperMessage message)
    {
        try
        {
            await _mailbox.Writer.WriteAsync(message);
        }
        catch (ChannelClosedException)
        {
            // The gateway is ending: whoever ends the sources waits for them.
        }
    }

    private async Task RunAsync()
    {
        await foreach (var message in _mailbox.Reader.ReadAllAsync())
        {
            try
            {
                Handle(message);
                Decide();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // A fault costs this message, not the keeper: without one nothing would ever be loaded again.
                Log.KeeperFailed(_logger, message.GetType().Name, e);
                (message as KeeperMessage.Apply)?.Begun.TrySetException(e);
                (message as KeeperMessage.Prepare)?.Done.TrySetException(e);
                (message as KeeperMessage.Asked)?.Done.TrySetException(e);
            }
        }

        foreach (var kept in _kept.Values)
        {
            KeptModel.Tell(kept.LoadWaiters, "The gateway is shutting down.");
            KeptModel.Tell(kept.UnloadWaiters, "The gateway is shutting down.");
        }
    }

    private void Handle(KeeperMessage message)
    {
        switch (message)
        {
            case KeeperMessage.Look:
                Volatile.Write(ref _lookPosted, 0);
                break;
            case KeeperMessage.Prepare prepare:
                Prepare();
                prepare.Done.SetResult();
                break;
            case KeeperMessage.Begin:
                _isOpen = true;
                break;
            case KeeperMessage.Apply apply:
                apply.Begun.SetResult(Apply(apply));
                break;
            case KeeperMessage.Demanded { Model: var name } when _kept.TryGetValue(name, out var kept) && _scheduler.Status(name).Depth == 0:
                kept.WantedSince ??= _time.GetTimestamp();
                break;
            case KeeperMessage.Asked asked:
                OnAsked(asked);
                break;
            case KeeperMessage.Ended ended:
                OnEnded(ended.Kept);
                break;
            case KeeperMessage.Removed { Kept: var removed }:
                _kept.Remove(removed.Name);
                break;
        }
    }

    private void Prepare()
    {
        var catalogue = _live.Current;
        foreach (var model in catalogue.Models)
        {
            Add(model, catalogue);
        }
    }

    private void Add(Model model, ModelCatalogue catalogue)
    {
        var kept = _kept[model.Name] = new KeptModel(model, _time.GetTimestamp());
        _sources.Add(model, catalogue);
        if (!model.IsLocal)
        {
            _sources.Start(model.Name);
            kept.Enter(ResidencyPhase.Loaded, _time.GetTimestamp());
        }
        else if (IsWantedFromTheStart(model, catalogue))
        {
            // Not for a request to load: it comes by itself.
            _sources.SetDown(model.Name, BackendCondition.Coming);
            kept.WantedSince = _time.GetTimestamp();
        }
    }

    /// <summary>Of a group that excludes each other only the first can be there from the start.</summary>
    private static bool IsWantedFromTheStart(Model model, ModelCatalogue catalogue) =>
        model.Options.Load == LoadMode.Eager
        && (model.Options.Group is not { } group
            || catalogue.Models.First(other => other.Options.Group == group && other.Options.Load == LoadMode.Eager) == model);

    private Task<ImmutableArray<string>> Apply(KeeperMessage.Apply apply)
    {
        var next = apply.Change(_live.Current);
        var change = CatalogueChange.Between(_live.Current, next);
        foreach (var model in next.Models)
        {
            _scheduler.Apply(model);
        }

        _live.Replace(next);
        _keys.Apply(next.Options.Keys);
        _bodies.LongestBody = next.Options.Gateway.MaxRequestBody.Bytes;
        var work = new List<Task<string?>>();
        foreach (var kept in change.Removed.Select(name => _kept.GetValueOrDefault(name)).OfType<KeptModel>())
        {
            _scheduler.Close(kept.Name);
            kept.IsRemoved = true;
            kept.Enter(ResidencyPhase.Unloading, _time.GetTimestamp());
            work.Add(Then(kept, () => RemoveAsync(kept, apply.Hurry)));
        }

        // Each model by itself: one that drains for a minute keeps no other waiting. All kept ones are looked at, since an overtaken change may have left one half way.
        foreach (var model in next.Models)
        {
            if (!_kept.TryGetValue(model.Name, out var kept))
            {
                Add(model, next);
                continue;
            }

            var isWanted = IsWantedFromTheStart(model, next) && !IsWantedFromTheStart(kept.Model, _live.Current);
            (kept.Model, kept.Sized) = (model, null);
            if (isWanted && kept.Phase == ResidencyPhase.Unloaded)
            {
                kept.WantedSince = _time.GetTimestamp();
            }

            work.Add(Then(kept, () => ChangeAsync(model, next, apply.Superseded)));
        }

        return CollectAsync(work);

        static async Task<ImmutableArray<string>> CollectAsync(List<Task<string?>> work) => [.. (await Task.WhenAll(work)).OfType<string>()];
    }

    private async Task<string?> RemoveAsync(KeptModel kept, CancellationToken hurry)
    {
        await _sources.RemoveAsync(kept.Name, hurry);
        _scheduler.Remove(kept.Name);
        Post(new KeeperMessage.Removed(kept));
        return null;
    }

    private async Task<string?> ChangeAsync(Model model, ModelCatalogue catalogue, CancellationToken superseded)
    {
        try
        {
            return await _sources.ApplyAsync(model, catalogue, superseded) is { } problem ? $"Models:{model.Name}: {problem}" : null;
        }
        catch (OperationCanceledException) when (superseded.IsCancellationRequested)
        {
            return $"Models:{model.Name}: overtaken by a later configuration";
        }
    }

    private void OnAsked(KeeperMessage.Asked asked)
    {
        if (!_kept.TryGetValue(asked.Model, out var kept) || kept.IsRemoved)
        {
            asked.Done.SetException(new KeyNotFoundException(asked.Model));
        }
        else if (!kept.Model.IsLocal)
        {
            asked.Done.SetResult("Its servers are not the gateway's own.");
        }
        else if (asked.ToBeLoaded)
        {
            kept.LoadWaiters.Add(asked.Done);
            (kept.WantedSince, kept.RetryAt) = (kept.WantedSince ?? _time.GetTimestamp(), null);
        }
        else
        {
            kept.UnloadWaiters.Add(asked.Done);
            kept.WantedSince = null;
            if (kept.Phase is ResidencyPhase.Loaded or ResidencyPhase.Draining or ResidencyPhase.Loading)
            {
                // The operator's word counts over work: what runs may finish within DrainTimeout.
                _scheduler.Hold(kept.Name, onlyIfIdle: false);
                End(kept, "unloaded", "an operator asked for it");
            }
        }
    }

    private void OnEnded(KeptModel kept)
    {
        if (kept.IsRemoved)
        {
            return;
        }

        kept.Enter(ResidencyPhase.Unloaded, _time.GetTimestamp());
        _scheduler.Resume(kept.Name);
        KeptModel.Tell(kept.UnloadWaiters, null);
    }

    /// <summary>Looks at every model, decides, and sets going what was decided.</summary>
    private void Decide()
    {
        if (!_isOpen)
        {
            return;
        }

        foreach (var kept in _kept.Values)
        {
            Observe(kept);
            Size(kept);
        }

        Estimates = _kept.Values.Where(kept => kept.PerReplica.Size is { IsNothing: false }).ToFrozenDictionary(kept => kept.Name, kept => kept.PerReplica.Size!.Value);

        _memory.Look();
        var options = _live.Options;
        var limits = new ResidencyLimits(_memory.Budget(options.Memory), _memory.IsPressed, MinimumResidence, options.Gateway.DrainTimeout);
        foreach (var step in ResidencyDecision.Decide([.. _kept.Values.Select(Describe)], limits))
        {
            Carry(step, _kept[step.Model]);
        }
    }

    /// <summary>Looks up its size, and while it is not loaded now and then again: a file may come, or become another.</summary>
    private void Size(KeptModel kept)
    {
        var isFresh = kept.Sized is { } sized && sized.HasGpu == _memory.HasGpu
            && (kept.Phase != ResidencyPhase.Unloaded || _time.GetElapsedTime(sized.At) < SizePeriod);
        if (kept.Model.IsLocal && !isFresh)
        {
            (kept.PerReplica, kept.Sized) = (_memory.PerReplica(kept.Model, _live.Current), (_time.GetTimestamp(), _memory.HasGpu));
        }
    }

    private void Observe(KeptModel kept)
    {
        var snapshot = _registry.Snapshot(kept.Name);
        switch (kept.Phase)
        {
            case ResidencyPhase.Loading when snapshot.AnyReady:
                kept.LoadCost = _time.GetElapsedTime(kept.Since);
                (kept.Failures, kept.RetryAt, kept.Shortage) = (0, null, null);
                kept.Enter(ResidencyPhase.Loaded, _time.GetTimestamp());
                _sources.SetDown(kept.Name, BackendCondition.Stopped);
                _feed.Publish(EventKind.Model, kept.Name, $"{kept.Name} is loaded after {kept.LoadCost.TotalSeconds:0.0} s.", to: "loaded");
                KeptModel.Tell(kept.LoadWaiters, null);
                break;
            case ResidencyPhase.Loading or ResidencyPhase.Loaded when snapshot.Best == BackendCondition.Failed:
                OnFailed(kept);
                break;
            case ResidencyPhase.Loading when _time.GetElapsedTime(kept.Since) > StartPatience && snapshot.Entries.All(entry => entry.Replica?.State == ReplicaState.Stopped):
                kept.Enter(ResidencyPhase.Unloaded, _time.GetTimestamp());
                _sources.SetDown(kept.Name, BackendCondition.Loadable);
                KeptModel.Tell(kept.LoadWaiters, "It was stopped.");
                break;
            case ResidencyPhase.Loaded:
                KeptModel.Tell(kept.LoadWaiters, null);
                break;
            case ResidencyPhase.Unloaded:
                KeptModel.Tell(kept.UnloadWaiters, null);
                if (kept.RetryAt <= _time.GetTimestamp())
                {
                    kept.RetryAt = null;
                    _sources.SetDown(kept.Name, BackendCondition.Loadable);
                }

                break;
        }
    }

    /// <summary>It was tried and given up. One that may be unloaded gives its memory back and is tried again when its pause is over and somebody asks.</summary>
    private void OnFailed(KeptModel kept)
    {
        KeptModel.Tell(kept.LoadWaiters, "It could not be loaded; the status says why.");
        if (kept.IsPinned)
        {
            return;
        }

        kept.WantedSince = null;
        var pause = FirstRetry * Math.Pow(2, Math.Min(kept.Failures++, 10));
        kept.RetryAt = _time.GetTimestamp() + (long)((pause < LongestRetry ? pause : LongestRetry).TotalSeconds * _time.TimestampFrequency);
        _scheduler.Hold(kept.Name, onlyIfIdle: false);
        End(kept, "failed", "it could not be loaded");
    }

    private ResidentModel Describe(KeptModel kept)
    {
        var queue = _scheduler.Status(kept.Name);
        var since = _time.GetElapsedTime(kept.Since);
        TimeSpan? wanted = kept.WantedSince is { } start ? _time.GetElapsedTime(start) : null;
        if (queue.Depth > 0 && !(wanted > queue.OldestAge))
        {
            wanted = queue.OldestAge;
        }

        return new ResidentModel
        {
            Name = kept.Name,
            Phase = kept.Phase,
            Group = kept.Model.IsLocal ? kept.Model.Options.Group : null,
            Memory = kept.Model.Options.Replicas * (kept.PerReplica.Size ?? default),

            // With a budget that somebody has set, what can't be sized does not start; without one it counts as nothing.
            SizeUnknown = kept.Model.IsLocal && _live.Options.Memory.Budget is not null ? kept.PerReplica.Unknown : null,
            IsPinned = kept.IsPinned,
            IsBusy = queue.Slots.Any(slots => slots.Busy + slots.Quarantined > 0),
            Waiting = queue.Depth,
            WantedFor = kept.RetryAt is null && !kept.IsRemoved ? wanted : null,
            IdleFor = queue.IdleFor < since ? queue.IdleFor : since,
            ResidentFor = since,
            DrainingFor = since,
            LoadCost = kept.LoadCost,
            IdleTimeout = kept.Model.IsLocal ? kept.Model.Options.IdleTimeout : null,
        };
    }

    private void Carry(ResidencyStep step, KeptModel kept)
    {
        switch (step)
        {
            case ResidencyStep.Load:
                kept.WantedSince = null;
                Explain(kept, null);
                kept.Enter(ResidencyPhase.Loading, _time.GetTimestamp());
                _feed.Publish(EventKind.Model, kept.Name, $"{kept.Name} is being loaded.", to: "loading");
                Then(kept, () =>
                {
                    _sources.Start(kept.Name);
                    return Task.FromResult<string?>(null);
                });
                break;
            case ResidencyStep.Unload unload when _scheduler.Hold(kept.Name, onlyIfIdle: true):
                End(kept, unload.For is null ? "unloaded" : "evicted", unload.For is null ? "nobody asks for it" : $"{unload.For} needs its room");
                break;
            case ResidencyStep.Drain drain:
                _scheduler.Hold(kept.Name, onlyIfIdle: false);
                kept.Enter(ResidencyPhase.Draining, _time.GetTimestamp());
                _feed.Publish(EventKind.Model, kept.Name, $"{kept.Name} finishes what runs and makes room for {drain.For}.", to: "draining");
                _ = LookWhenIdleAsync(kept.Name);
                break;
            case ResidencyStep.Resume:
                _scheduler.Resume(kept.Name);
                kept.Enter(ResidencyPhase.Loaded, _time.GetTimestamp());
                _feed.Publish(EventKind.Model, kept.Name, $"{kept.Name} goes on: nobody needs its room any more, or what runs on it takes too long.", to: "loaded");
                break;
            case ResidencyStep.Wait wait:
                Explain(kept, wait.Why);
                break;
            case ResidencyStep.Refuse refuse:
                Explain(kept, refuse.Why);
                kept.WantedSince = null;
                KeptModel.Tell(kept.LoadWaiters, $"There is not enough memory: {refuse.Why}.");
                _scheduler.Refuse(kept.Name, ApiErrors.InsufficientMemory(refuse.Why));
                break;
        }
    }

    /// <summary>Says why it waits: to whoever is refused meanwhile, and once to whoever watches.</summary>
    private void Explain(KeptModel kept, string? shortage)
    {
        if (kept.Shortage == shortage)
        {
            return;
        }

        _scheduler.Explain(kept.Name, shortage);
        if (kept.Phase == ResidencyPhase.Unloaded)
        {
            _sources.SetDown(kept.Name, BackendCondition.Loadable, shortage is null ? null : $"There is not enough memory: {shortage}.");
        }

        if (shortage is not null && kept.Shortage is null)
        {
            Log.MemoryShort(_logger, kept.Name, shortage);
            _feed.Publish(EventKind.Memory, kept.Name, $"{kept.Name} waits for memory: {shortage}.", EventLevel.Warning);
        }

        kept.Shortage = shortage;
    }

    /// <summary>Unloads a model whose queue is closed already.</summary>
    private void End(KeptModel kept, string state, string why)
    {
        kept.Enter(ResidencyPhase.Unloading, _time.GetTimestamp());
        _sources.SetDown(kept.Name, kept.RetryAt is null ? BackendCondition.Loadable : BackendCondition.Failed);
        _feed.Publish(EventKind.Model, kept.Name, $"{kept.Name} is being unloaded: {why}.", kept.RetryAt is null ? EventLevel.Info : EventLevel.Error, to: state);
        Then(kept, async () =>
        {
            await _sources.UnloadAsync(kept.Name, CancellationToken.None);
            Post(new KeeperMessage.Ended(kept));
            return null;
        });
    }

    private async Task LookWhenIdleAsync(string model)
    {
        await _scheduler.WhenIdle(model);
        Look();
    }

    /// <summary>Does something with a model's source when what was begun before is done.</summary>
    private Task<string?> Then(KeptModel kept, Func<Task<string?>> work)
    {
        var task = RunAsync(kept.Work);
        kept.Work = task;
        return task;

        async Task<string?> RunAsync(Task before)
        {
            await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
            try
            {
                return await work();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                Log.WorkFailed(_logger, kept.Name, e);
                return $"Models:{kept.Name}: {e.Message}";
            }
        }
    }
}
