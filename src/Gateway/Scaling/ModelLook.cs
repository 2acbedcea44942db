using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scaling.Residency;
using LlmGateway.Gateway.Scaling.Sizing;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Scaling;

/// <summary>What the keeper sees of a model: its size, its queue, its backends, as values for the decision. Changes nothing but what is noted in <see cref="KeptModel"/>.</summary>
internal sealed class ModelLook(LiveCatalogue live, Scheduler scheduler, BackendSources sources, BackendRegistry registry, ModelMemory memory, TimeProvider time)
{
    private static readonly TimeSpan SizePeriod = TimeSpan.FromSeconds(10);

    /// <summary>Looks up its size, and while it is not loaded now and then again: a file may come, or become another.</summary>
    public void Size(KeptModel kept)
    {
        var gpus = memory.Gpus(live.Options.Memory);
        var isFresh = kept.Sized is { } sized && sized.Gpus.SequenceEqual(gpus)
            && (kept.Phase != ResidencyPhase.Unloaded || time.GetElapsedTime(sized.At) < SizePeriod);
        if (kept.Model.IsLocal && !isFresh)
        {
            (kept.PerReplica, kept.Sized) = (memory.PerReplica(kept.Model, live.Current), (time.GetTimestamp(), gpus));
        }
    }

    public ResidentModel Describe(KeptModel kept)
    {
        var (model, queue) = (kept.Model, scheduler.Status(kept.Name));
        var since = time.GetElapsedTime(kept.Since);
        TimeSpan? wanted = kept.WantedSince is { } start ? time.GetElapsedTime(start) : null;
        if (queue.Depth > 0 && !(wanted > queue.OldestAge))
        {
            wanted = queue.OldestAge;
        }

        // A replica that is no longer wanted takes its memory until its process is gone.
        var each = kept.PerReplica.Size ?? default;
        var ending = kept.Phase == ResidencyPhase.Unloaded ? 0 : Math.Max(0, (sources.Replicas(kept.Name)?.Statuses.Length ?? 0) - model.Replicas);
        return new ResidentModel
        {
            Name = kept.Name,
            Phase = kept.Phase,
            Group = model.IsLocal ? model.Options.Group : null,
            Memory = (model.Replicas + ending) * each,
            PerReplica = each,
            Ending = ending * each,
            Replicas = model.Replicas,
            LeastReplicas = model.IsScaled ? model.Options.Replicas : model.Replicas,
            WantedReplicas = WantedReplicas(kept, queue),
            IsGrowthOrdered = kept.GrowTo is not null,

            // With a budget that somebody has set, what can't be sized does not start; without one it counts as nothing.
            SizeUnknown = model.IsLocal && live.Options.Memory.Budget is not null ? kept.PerReplica.Unknown : null,
            IsPinned = kept.IsPinned,
            KeepPriority = model.Options.KeepPriority,
            IsBusy = queue.Slots.Any(slots => slots.Busy + slots.Quarantined > 0),
            Waiting = queue.Depth,
            WantedFor = kept.RetryAt is null && !kept.IsRemoved ? wanted : null,
            IdleFor = queue.IdleFor < since ? queue.IdleFor : since,
            ResidentFor = since,
            DrainingFor = since,
            LoadCost = kept.LoadCost,
            IdleTimeout = model.IsLocal ? model.Options.IdleTimeout : null,
        };
    }

    /// <summary>True when a backend takes no work and nothing runs on it.</summary>
    public bool IsIdle(string model, string backend) =>
        registry.Snapshot(model).Entries.All(entry => entry.Name != backend || entry.Condition != BackendCondition.Ready)
        && scheduler.Status(model).Slots.All(slots => slots.Backend != backend || slots.Busy + slots.Quarantined == 0);

    private int? WantedReplicas(KeptModel kept, QueueStatus queue)
    {
        var model = kept.Model;
        if (kept.GrowTo is not null || !model.IsScaled || kept.Phase != ResidencyPhase.Loaded)
        {
            return kept.GrowTo;
        }

        var entries = registry.Snapshot(kept.Name).Entries;
        var load = new ModelLoad(
            model.Replicas,
            IsSettled: entries.Length == model.Replicas && entries.All(entry => entry.Replica?.State == ReplicaState.Ready),
            IsGivingBack: kept.GivingBack is not null,
            Slots: queue.Slots.Sum(slots => slots.Total),
            Busy: queue.Slots.Sum(slots => slots.Busy + slots.Quarantined),
            queue.Depth,
            queue.OldestAge);
        var scale = model.Options.Scale;
        var (wanted, isCalm) = ReplicaSizing.Decide(
            load, new(model.Options.Replicas, model.MostReplicas, scale.UpAfter, scale.DownAfter), kept.CalmSince is { } calm ? time.GetElapsedTime(calm) : null);
        kept.CalmSince = isCalm ? kept.CalmSince ?? time.GetTimestamp() : null;
        return wanted;
    }
}
