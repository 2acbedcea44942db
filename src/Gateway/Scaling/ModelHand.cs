using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling.Residency;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Scaling;

/// <summary>Carries out what the keeper decides: queues are held, sources started and ended, whoever waits is told. Called by the keeper's loop only.</summary>
/// <remarks>It tells the loop by <c>post</c> what has ended, and by <c>look</c> that something may have changed.</remarks>
internal sealed class ModelHand(
    LiveCatalogue live, Scheduler scheduler, BackendSources sources, EventFeed feed, TimeProvider time, ILogger logger, Action<KeeperMessage> post, Action look)
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(5);

    /// <summary>A start that nobody has begun after this long was called back by an operator.</summary>
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(5);

    /// <summary>Makes a model's source. Remote servers are there at once.</summary>
    public void Add(KeptModel kept, ModelCatalogue catalogue, bool isWanted)
    {
        sources.Add(kept.Model, catalogue);
        if (!kept.Model.IsLocal)
        {
            sources.Start(kept.Name);
            kept.Enter(ResidencyPhase.Loaded, time.GetTimestamp());
        }
        else if (isWanted)
        {
            // Not for a request to load: it comes by itself.
            sources.SetDown(kept.Name, BackendCondition.Coming);
            kept.WantedSince = time.GetTimestamp();
        }
    }

    /// <summary>Refuses who waits, lets what runs finish, and ends a model that is no longer configured.</summary>
    public Task<string?> Remove(KeptModel kept, CancellationToken hurry)
    {
        scheduler.Close(kept.Name);
        kept.IsRemoved = true;
        kept.Enter(ResidencyPhase.Unloading, time.GetTimestamp());
        return Then(kept, async () =>
        {
            await sources.RemoveAsync(kept.Name, hurry);
            scheduler.Remove(kept.Name);
            post(new KeeperMessage.Removed(kept));
            return null;
        });
    }

    /// <summary>Brings a model's source to its present options.</summary>
    public Task<string?> Change(KeptModel kept, ModelCatalogue catalogue, CancellationToken superseded)
    {
        var model = kept.Model;
        return Then(kept, async () =>
        {
            try
            {
                return await sources.ApplyAsync(model, catalogue, superseded) is { } problem ? $"Models:{model.Name}: {problem}" : null;
            }
            catch (OperationCanceledException) when (superseded.IsCancellationRequested)
            {
                return $"Models:{model.Name}: overtaken by a later configuration";
            }
        });
    }

    /// <summary>Takes note of what has become of its processes.</summary>
    public void Follow(KeptModel kept, BackendSnapshot snapshot)
    {
        switch (kept.Phase)
        {
            case ResidencyPhase.Loading when snapshot.AnyReady:
                kept.LoadCost = time.GetElapsedTime(kept.Since);
                (kept.Failures, kept.RetryAt, kept.Shortage) = (0, null, null);
                kept.Enter(ResidencyPhase.Loaded, time.GetTimestamp());
                sources.SetDown(kept.Name, BackendCondition.Stopped);
                Publish(kept, "loaded", $"{kept.Name} is loaded after {kept.LoadCost.TotalSeconds:0.0} s.");
                KeptModel.Tell(kept.LoadWaiters, null);
                break;
            case ResidencyPhase.Loading or ResidencyPhase.Loaded when snapshot.Best == BackendCondition.Failed:
                OnFailed(kept);
                break;
            case ResidencyPhase.Loading when time.GetElapsedTime(kept.Since) > StartPatience && snapshot.Entries.All(entry => entry.Replica?.State == ReplicaState.Stopped):
                kept.Enter(ResidencyPhase.Unloaded, time.GetTimestamp());
                sources.SetDown(kept.Name, BackendCondition.Loadable);
                KeptModel.Tell(kept.LoadWaiters, "It was stopped.");
                break;
            case ResidencyPhase.Loaded:
                KeptModel.Tell(kept.LoadWaiters, null);
                break;
            case ResidencyPhase.Unloaded:
                KeptModel.Tell(kept.UnloadWaiters, null);
                if (kept.RetryAt <= time.GetTimestamp())
                {
                    kept.RetryAt = null;
                    sources.SetDown(kept.Name, BackendCondition.Loadable);
                }

                break;
        }
    }

    /// <summary>Nothing of it runs any more. Next time it begins with as many processes as it is configured to have.</summary>
    public void OnEnded(KeptModel kept)
    {
        if (kept.IsRemoved)
        {
            return;
        }

        kept.Enter(ResidencyPhase.Unloaded, time.GetTimestamp());
        var replicas = kept.GrowTo ?? (kept.Model.IsScaled ? kept.Model.Options.Replicas : kept.Model.Replicas);
        if (replicas != kept.Model.Replicas)
        {
            Resize(kept, replicas);
        }

        scheduler.Resume(kept.Name);
        KeptModel.Tell(kept.UnloadWaiters, null);
    }

    /// <param name="step">What was decided.</param>
    /// <param name="kept">Its model.</param>
    /// <param name="isIdle">Whether a backend takes no work and nothing runs on it, by the model's name and its own.</param>
    public void Carry(ResidencyStep step, KeptModel kept, Func<string, string, bool> isIdle)
    {
        switch (step)
        {
            case ResidencyStep.Load:
                kept.WantedSince = null;
                Explain(kept, null);
                kept.Enter(ResidencyPhase.Loading, time.GetTimestamp());
                Publish(kept, "loading", $"{kept.Name} is being loaded.");
                Then(kept, () =>
                {
                    sources.Start(kept.Name);
                    return Task.FromResult<string?>(null);
                });
                break;
            case ResidencyStep.Unload unload when scheduler.Hold(kept.Name, onlyIfIdle: true):
                End(kept, unload.For is null ? "unloaded" : "evicted", unload.For is null ? "nobody asks for it" : $"{unload.For} needs its room");
                break;
            case ResidencyStep.Drain drain:
                scheduler.Hold(kept.Name, onlyIfIdle: false);
                kept.Enter(ResidencyPhase.Draining, time.GetTimestamp());
                Publish(kept, "draining", $"{kept.Name} finishes what runs and makes room for {drain.For}.");
                _ = LookWhenIdleAsync(kept.Name);
                break;
            case ResidencyStep.Resume:
                scheduler.Resume(kept.Name);
                kept.Enter(ResidencyPhase.Loaded, time.GetTimestamp());
                Publish(kept, "loaded", $"{kept.Name} goes on: nobody needs its room any more, or what runs on it takes too long.");
                break;
            case ResidencyStep.Wait wait:
                Explain(kept, wait.Why);
                break;
            case ResidencyStep.Refuse refuse:
                Explain(kept, refuse.Why);
                kept.WantedSince = null;
                KeptModel.Tell(kept.LoadWaiters, $"There is not enough memory: {refuse.Why}.");
                scheduler.Refuse(kept.Name, ApiErrors.InsufficientMemory(refuse.Why));
                break;
            case ResidencyStep.Grow grow:
                Publish(kept, "scaled", kept.GrowTo is null ? $"{kept.Name} gets {grow.Replicas} replicas: all slots are in use and requests wait." : $"{kept.Name} gets {grow.Replicas} replicas.");
                Resize(kept, grow.Replicas);
                break;
            case ResidencyStep.RefuseGrowth refuse:
                RefuseGrowth(kept, refuse.Why);
                break;
            case ResidencyStep.GiveBack { For: var taker } when kept.GivingBack is null:
                kept.GivingBack = Last(kept);
                Publish(kept, "scaled", $"{kept.GivingBack} ends when what runs on it is done: {(taker is null ? "the others are enough" : $"{taker} needs its room")}.");
                Command(kept, kept.GivingBack, ReplicaVerb.Drain);
                break;
            case ResidencyStep.GiveBack when kept.GivingBack == Last(kept) && isIdle(kept.Name, kept.GivingBack):
                (kept.GivingBack, kept.CalmSince) = (null, time.GetTimestamp());
                Resize(kept, kept.Model.Replicas - 1);
                break;
        }
    }

    /// <summary>The replica that was to be given back is needed again.</summary>
    public void KeepAll(KeptModel kept)
    {
        if (kept.GivingBack == Last(kept) && kept.Phase is ResidencyPhase.Loaded or ResidencyPhase.Draining)
        {
            Publish(kept, "scaled", $"{kept.GivingBack} stays: it is needed again.");
            Command(kept, kept.GivingBack, ReplicaVerb.Resume);
        }

        kept.GivingBack = null;
    }

    /// <summary>Unloads a model whose queue is closed already.</summary>
    public void End(KeptModel kept, string state, string why)
    {
        kept.Enter(ResidencyPhase.Unloading, time.GetTimestamp());
        sources.SetDown(kept.Name, kept.RetryAt is null ? BackendCondition.Loadable : BackendCondition.Failed);
        Publish(kept, state, $"{kept.Name} is being unloaded: {why}.", kept.RetryAt is null ? EventLevel.Info : EventLevel.Error);
        Then(kept, async () =>
        {
            await sources.UnloadAsync(kept.Name, CancellationToken.None);
            post(new KeeperMessage.Ended(kept));
            return null;
        });
    }

    private static string Last(KeptModel kept) => $"{kept.Name}/{kept.Model.Replicas - 1}";

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
        kept.RetryAt = time.GetTimestamp() + (long)((pause < LongestRetry ? pause : LongestRetry).TotalSeconds * time.TimestampFrequency);
        scheduler.Hold(kept.Name, onlyIfIdle: false);
        End(kept, "failed", "it could not be loaded");
    }

    /// <summary>Gives a model another number of processes: missing ones start, the last ones drain and end. The others are not touched.</summary>
    private void Resize(KeptModel kept, int replicas)
    {
        var catalogue = live.Current.WithReplicas(kept.Name, replicas);
        live.Replace(catalogue);
        kept.Model = catalogue.Models.First(model => model.Name == kept.Name);
        scheduler.Apply(kept.Model);
        TaskCompletionSource<string?>[] waiters = [];
        if (replicas == kept.GrowTo)
        {
            kept.GrowTo = null;
            waiters = [.. kept.GrowWaiters];
            kept.GrowWaiters.Clear();
        }

        _ = TellAsync(Change(kept, catalogue, CancellationToken.None));

        async Task TellAsync(Task<string?> change)
        {
            var problem = await change;
            Array.ForEach(waiters, waiter => waiter.TrySetResult(problem));
            look();
        }
    }

    /// <summary>What a person has said by hand is over with that; what the configuration says is done when there is room.</summary>
    private void RefuseGrowth(KeptModel kept, string why)
    {
        if (kept.GrowWaiters.Count > 0)
        {
            Log.MemoryShort(logger, kept.Name, why);
            feed.Publish(EventKind.Memory, kept.Name, $"{kept.Name} does not get {kept.GrowTo} replicas: {why}.", EventLevel.Warning);
        }

        KeptModel.Tell(kept.GrowWaiters, $"There is not enough memory for {kept.GrowTo} replicas: {why}.");
        kept.GrowTo = kept.GrowTo == kept.Model.Options.Replicas ? kept.GrowTo : null;
    }

    /// <summary>Says why it waits: to whoever is refused meanwhile, and once to whoever watches.</summary>
    private void Explain(KeptModel kept, string? shortage)
    {
        if (kept.Shortage == shortage)
        {
            return;
        }

        scheduler.Explain(kept.Name, shortage);
        if (kept.Phase == ResidencyPhase.Unloaded)
        {
            sources.SetDown(kept.Name, BackendCondition.Loadable, shortage is null ? null : $"There is not enough memory: {shortage}.");
        }

        if (shortage is not null && kept.Shortage is null)
        {
            Log.MemoryShort(logger, kept.Name, shortage);
            feed.Publish(EventKind.Memory, kept.Name, $"{kept.Name} waits for memory: {shortage}.", EventLevel.Warning);
        }

        kept.Shortage = shortage;
    }

    private void Publish(KeptModel kept, string state, string text, EventLevel level = EventLevel.Info) => feed.Publish(EventKind.Model, kept.Name, text, level, to: state);

    /// <summary>Asks one replica without waiting for it.</summary>
    private void Command(KeptModel kept, string backend, ReplicaVerb verb)
    {
        if (sources.Replicas(kept.Name) is { } replicas)
        {
            _ = AskAsync();

            async Task AskAsync()
            {
                try
                {
                    await replicas.CommandAsync(int.Parse(backend.AsSpan(kept.Name.Length + 1), System.Globalization.CultureInfo.InvariantCulture), verb, CancellationToken.None);
                    look();
                }
                catch (Exception e) when (e is InvalidOperationException or ArgumentOutOfRangeException or OperationCanceledException)
                {
                    // It is being ended: nothing is left to ask for.
                }
            }
        }
    }

    private async Task LookWhenIdleAsync(string model)
    {
        await scheduler.WhenIdle(model);
        look();
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
                Log.WorkFailed(logger, kept.Name, e);
                return $"Models:{kept.Name}: {e.Message}";
            }
        }
    }
}
