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

    private readonly Channel<KeeperMessage> _mailbox = Channel.CreateBounded<KeeperMessage>(new BoundedChannelOptions(4096) { SingleReader = true });
    private readonly Dictionary<string, KeptModel> _kept = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly Lock _lock = new();
    private readonly LiveCatalogue _live;
    private readonly KeyRing _keys;
    private readonly BodyBudget _bodies;
    private readonly Scheduler _scheduler;
    private readonly BackendRegistry _registry;
    private readonly ModelMemory _memory;
    private readonly ModelLook _look;
    private readonly ModelHand _hand;
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
        (_live, _keys, _bodies, _scheduler, _registry, _memory, _feed, _time, _logger) = (live, keys, bodies, scheduler, registry, memory, feed, time, logger);
        _look = new ModelLook(live, scheduler, sources, registry, memory, time);
        _hand = new ModelHand(live, scheduler, sources, feed, time, logger, Post, Look);
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

    /// <summary>Gives a model another number of replicas, until the next reload; more of them only when there is memory for them, or idle models can make room.</summary>
    /// <returns>Null when it is done; else one sentence that says why it is not.</returns>
    public async Task<string?> ScaleAsync(string model, int replicas, CancellationToken cancellationToken)
    {
        if (_live.Current.Models.FirstOrDefault(one => one.Name == model) is not { IsLocal: true } known)
        {
            return "Only a model with processes of the gateway's own can be scaled.";
        }

        if (known.IsScaled && (replicas < known.Options.Replicas || replicas > known.MostReplicas))
        {
            return $"Its load decides between {known.Options.Replicas} and {known.MostReplicas} replicas.";
        }

        if (replicas is < 0 or > 256 || (known.Options.Transport == ProcessManager.Replicas.ReplicaTransport.Tcp && replicas > known.Options.Ports.Count))
        {
            return $"It can have 0 to 256 replicas, and no more than ports: {known.Options.Ports.Count}.";
        }

        var problems = await ApplyAsync(now => now.Models.Any(one => one.Name == model) ? now.WithReplicas(model, replicas) : now, cancellationToken);
        var problem = problems.FirstOrDefault(problem => problem.StartsWith($"Models:{model}:", StringComparison.Ordinal));
        if (problem is null)
        {
            _feed.Publish(EventKind.Model, model, $"{model} is to have {replicas} replicas: an operator asked for it.", to: "scaled");
        }

        return problem;
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
            KeptModel.Tell(kept.GrowWaiters, "The gateway is shutting down.");
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
                _hand.OnEnded(ended.Kept);
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
        _hand.Add(kept, catalogue, isWanted: IsWantedFromTheStart(model, catalogue));
    }

    /// <summary>Of a group that excludes each other only the first can be there from the start.</summary>
    private static bool IsWantedFromTheStart(Model model, ModelCatalogue catalogue) =>
        model.Options.Load == LoadMode.Eager
        && (model.Options.Group is not { } group
            || catalogue.Models.First(other => other.Options.Group == group && other.Options.Load == LoadMode.Eager) == model);

    private Task<ImmutableArray<string>> Apply(KeeperMessage.Apply apply)
    {
        var (next, growing) = WithoutGrowth(apply.Change(_live.Current));
        var change = CatalogueChange.Between(_live.Current, next);
        foreach (var model in next.Models)
        {
            _scheduler.Apply(model);
        }

        var before = _live.Current;
        _live.Replace(next);
        _keys.Apply(next.Options.Keys);
        _bodies.LongestBody = next.Options.Gateway.MaxRequestBody.Bytes;
        var work = new List<Task<string?>>();
        foreach (var kept in change.Removed.Select(name => _kept.GetValueOrDefault(name)).OfType<KeptModel>())
        {
            work.Add(_hand.Remove(kept, apply.Hurry));
        }

        // Each model by itself: one that drains for a minute keeps no other waiting. All kept ones are looked at, since an overtaken change may have left one half way.
        foreach (var model in next.Models)
        {
            if (!_kept.TryGetValue(model.Name, out var kept))
            {
                Add(model, next);
                continue;
            }

            var isWanted = IsWantedFromTheStart(model, next) && !IsWantedFromTheStart(kept.Model, before);
            (kept.Model, kept.Sized) = (model, null);
            if (isWanted && kept.Phase == ResidencyPhase.Unloaded)
            {
                kept.WantedSince = _time.GetTimestamp();
            }

            work.Add(_hand.Change(kept, next, apply.Superseded));
            if (GrowLater(kept, growing, apply.Superseded) is { } growth)
            {
                work.Add(growth);
            }
        }

        return CollectAsync(work);

        static async Task<ImmutableArray<string>> CollectAsync(List<Task<string?>> work) => [.. (await Task.WhenAll(work)).OfType<string>()];
    }

    /// <summary>Takes out of a configuration what more processes of resident models it asks for: those come when there is memory for them.</summary>
    private (ModelCatalogue Next, Dictionary<string, int> Growing) WithoutGrowth(ModelCatalogue next)
    {
        var growing = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var model in next.Models)
        {
            if (model.IsLocal && _kept.TryGetValue(model.Name, out var kept) && kept.Model.IsLocal && kept.Phase != ResidencyPhase.Unloaded)
            {
                // What is still to come is not forgotten for the sake of a change elsewhere.
                var replicas = ReferenceEquals(model.Options, kept.Model.Options) && model.Replicas == kept.Model.Replicas ? kept.GrowTo ?? model.Replicas : model.Replicas;
                if (replicas > kept.Model.Replicas)
                {
                    growing[model.Name] = replicas;
                }
            }
        }

        return (growing.Keys.Aggregate(next, (catalogue, name) => catalogue.WithReplicas(name, _kept[name].Model.Replicas)), growing);
    }

    /// <summary>Notes how many processes a model is to have when there is memory for them.</summary>
    /// <returns>Completes when it has them, or with why it has not; null when it has them.</returns>
    private static Task<string?>? GrowLater(KeptModel kept, Dictionary<string, int> growing, CancellationToken superseded)
    {
        KeptModel.Tell(kept.GrowWaiters, "overtaken by a later configuration");
        kept.GrowTo = growing.TryGetValue(kept.Name, out var replicas) ? replicas : null;
        if (kept.GrowTo is null)
        {
            return null;
        }

        var done = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        kept.GrowWaiters.Add(done);
        return WaitAsync();

        async Task<string?> WaitAsync()
        {
            using var registration = superseded.Register(() => done.TrySetResult("overtaken by a later configuration"));
            return await done.Task is { } problem ? $"Models:{kept.Name}: {problem}" : null;
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
                _hand.End(kept, "unloaded", "an operator asked for it");
            }
        }
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
            _hand.Follow(kept, _registry.Snapshot(kept.Name));
            _look.Size(kept);
        }

        Estimates = _kept.Values.Where(kept => kept.PerReplica.Size is { IsNothing: false }).ToFrozenDictionary(kept => kept.Name, kept => kept.PerReplica.Size!.Value);

        _memory.Look();
        var options = _live.Options;
        var limits = new ResidencyLimits(_memory.Budget(options.Memory), _memory.IsPressed, MinimumResidence, options.Gateway.DrainTimeout);
        var steps = ResidencyDecision.Decide([.. _kept.Values.Select(_look.Describe)], limits);
        foreach (var kept in _kept.Values.Where(kept => kept.GivingBack is not null && !steps.Any(step => step is ResidencyStep.GiveBack && step.Model == kept.Name)))
        {
            _hand.KeepAll(kept);
        }

        foreach (var step in steps)
        {
            _hand.Carry(step, _kept[step.Model], _look.IsIdle);
        }
    }
}
