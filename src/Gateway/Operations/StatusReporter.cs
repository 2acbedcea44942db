using System.Collections.Immutable;
using System.Text.Json;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations.History;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.Gateway.Operations;

/// <summary>Puts the report together from what has been published. Waits for nobody.</summary>
internal sealed class StatusReporter(
    LiveCatalogue catalogue,
    BackendRegistry registry,
    Scheduler scheduler,
    Lifecycle lifecycle,
    RequestLedger ledger,
    TrafficHistory traffic,
    HealthHistory health,
    BackgroundLook look,
    StreamLimit streams,
    IResourceSampler resources,
    ModelKeeper keeper,
    ModelMemory memory,
    TimeProvider time)
{
    /// <summary>How late an idle process may be unloaded before it is called overdue.</summary>
    private static readonly TimeSpan IdleGrace = TimeSpan.FromMinutes(1);

    /// <param name="withLogs">False leaves out what the last exits' processes wrote last.</param>
    public StatusReport Report(bool withLogs = true)
    {
        ImmutableArray<RequestFacts> requests = [.. ledger.Open.Select(one => one.Facts)];
        ImmutableArray<ModelStatus> models = [.. catalogue.Current.Models.Select(model => Report(model, requests, withLogs))];
        return new(
            new GatewayStatus(
                StatusReport.Version,
                lifecycle.StartedAt,
                Math.Round(lifecycle.Uptime.TotalSeconds, 3),
                lifecycle.IsDraining,
                catalogue.Options.Management.ReadOnly,
                lifecycle.InFlight,
                new ConfigurationStatus(catalogue.State.Path, catalogue.State.LoadedAt ?? lifecycle.StartedAt, catalogue.State.Errors),
                new MemoryReport(Budget(), models.SelectMany(model => model.Replicas).Sum(replica => replica.Pid is null ? 0 : replica.EstimatedBytes ?? 0)),
                OwnProcess()),
            models,
            [.. catalogue.Options.Keys.Select(key => Report(key, requests))]);
    }

    /// <summary>One backend with all there is, or null.</summary>
    public ReplicaReport? Report(string model, int index)
    {
        var found = catalogue.Current.Models.FirstOrDefault(one => one.Name == model);
        var entry = found is null ? null : registry.Snapshot(model).Entries.FirstOrDefault(entry => entry.Name == $"{model}/{index}");
        return entry is null ? null : Report(found!, entry, scheduler.Status(model), withLogs: true);
    }

    /// <summary>The last quarter of an hour; what had no traffic is left out.</summary>
    public HistoryReport History() => new(
        TimeRing<int>.Step.TotalSeconds,
        catalogue.Current.Models.Select(model => (model.Name, Traffic: traffic.Report(model.Name))).Where(pair => pair.Traffic is not null)
            .ToImmutableDictionary(pair => pair.Name, pair => pair.Traffic!),
        catalogue.Current.Models.SelectMany(model => registry.Snapshot(model.Name).Entries)
            .ToImmutableDictionary(entry => entry.Name, entry => new BackendHistory(health.Report(entry.Name), traffic.Report(entry.Name))));

    /// <summary>The model's state in one word, as clients see it too.</summary>
    public static string StateOf(BackendSnapshot snapshot) => snapshot.Best switch
    {
        BackendCondition.Ready => "ready",
        BackendCondition.Coming => "loading",
        BackendCondition.Failed => "failed",
        BackendCondition.Loadable => "unloaded",
        _ => "stopped",
    };

    private ModelStatus Report(Model model, ImmutableArray<RequestFacts> requests, bool withLogs)
    {
        var snapshot = registry.Snapshot(model.Name);
        var queue = scheduler.Status(model.Name);
        return new ModelStatus(
            model.Name,
            model.Options.Aliases,
            StateOf(snapshot),
            model.IsScaled ? new ScaleReport(model.Replicas, model.Options.Replicas, model.MostReplicas) : null,
            new QueueReport(
                queue.Depth,
                queue.Limit,
                queue.Bytes,
                Math.Round(queue.OldestAge.TotalSeconds, 3),
                [.. queue.Bands.Select(band => new BandReport(band.Priority.ToLabel(), band.Depth, Math.Round(band.OldestAge.TotalSeconds, 3), Math.Round(band.PredictedWait.TotalSeconds, 3)))],
                Math.Round(queue.PredictedWait.TotalSeconds, 3),
                [.. requests.Where(request => request.Model == model.Name).GroupBy(request => request.Key).OrderBy(group => group.Key, StringComparer.Ordinal)
                    .Select(group => new QueueKeyReport(group.Key, Count(group, RequestStage.Queued), Count(group, RequestStage.Running)))]),
            [.. snapshot.Entries.Select(entry => Report(model, entry, queue, withLogs))]);
    }

    private ReplicaReport Report(Model model, BackendEntry entry, QueueStatus queue, bool withLogs)
    {
        var slots = queue.Slots.LastOrDefault(slots => slots.Backend == entry.Name);
        var replica = entry.Replica;
        var sample = replica is null ? null : resources.Current.Of(entry.Name, replica.Generation);
        var idle = IdleTime(entry, slots);
        return new ReplicaReport(
            entry.Name,
            JsonNamingPolicy.KebabCaseLower.ConvertName(model.Options.Kind.ToString()),
            replica is null ? entry.Condition == BackendCondition.Ready ? "ready" : "not_ready" : JsonNamingPolicy.SnakeCaseLower.ConvertName(replica.State.ToString()),
            replica?.Pid,
            (replica?.Address ?? entry.Backend?.Address)?.ToString(),
            replica?.Pid is null ? null : replica.StartedAt,
            replica?.StartedAt is { } startedAt && replica.Pid is not null ? Math.Round((time.GetUtcNow() - startedAt).TotalSeconds, 3) : null,
            idle is { } length ? Math.Round(length.TotalSeconds, 3) : null,
            idle > model.Options.IdleTimeout + IdleGrace,
            sample?.CpuPercent is { } cpu ? Math.Round(cpu, 1) : null,
            sample?.ResidentBytes,
            model.IsLocal && keeper.Estimates.TryGetValue(model.Name, out var size) ? size.Ram + size.Gpu : null,
            new SlotReport(replica?.Slots ?? entry.Slots, slots?.Busy ?? 0, (slots?.Quarantined ?? 0) + (replica?.LeakedSlots ?? 0), slots?.Usable ?? 0),
            queue.Breakers.FirstOrDefault(breaker => breaker.Backend == entry.Name)?.State ?? BreakerState.Closed,
            replica?.Probes ?? ProbesOf(entry.Readiness),
            replica?.RestartsInWindow,
            replica is null ? null : model.Options.Restart.MaxRestarts,
            withLogs ? replica?.LastExit : replica?.LastExit is { } exit ? exit with { Log = [] } : null,
            entry.NotRoutableBecause ?? (slots is { IsBarred: true } ? slots.LimitedBecause : null),
            slots?.LimitedBecause,
            replica?.NextTryAt);
    }

    /// <summary>A remote has a readiness probe only.</summary>
    private static ProbeSummary ProbesOf(ProbeHealth readiness) => ProbeSummary.Unknown with
    {
        Readiness = readiness switch { ProbeHealth.Healthy => "passing", ProbeHealth.Unhealthy => "failing", _ => "unknown" },
    };

    /// <summary>How long a living process of ours has had nothing to do; null for others.</summary>
    private TimeSpan? IdleTime(BackendEntry entry, SlotStatus? slots)
    {
        if (entry.Replica is not { Pid: not null, StartedAt: { } startedAt })
        {
            return null;
        }

        var last = traffic.LastUsedAt(entry.Name) is { } used && used > startedAt ? used : startedAt;
        return slots is { Busy: > 0 } ? TimeSpan.Zero : time.GetUtcNow() - last;
    }

    private static KeyReport Report(KeyOptions key, ImmutableArray<RequestFacts> requests)
    {
        var own = requests.Where(request => request.Key == key.Name).ToArray();
        return new KeyReport(
            key.Name, own.Length, Count(own, RequestStage.Queued), new KeyLimitReport(key.MaxConcurrent, key.RequestsPerMinute, key.TokensPerMinute));
    }

    private static int Count(IEnumerable<RequestFacts> requests, RequestStage stage) => requests.Count(request => request.Stage == stage);

    private long Budget() => memory.Budget(catalogue.Options.Memory) is var budget && budget.Gpu > 0 ? budget.Gpu : budget.Ram;

    private ProcessReport OwnProcess()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return new ProcessReport(
            Environment.ProcessId, look.CpuPercent, Environment.WorkingSet, GC.GetTotalMemory(forceFullCollection: false), process.Threads.Count,
            ThreadPool.ThreadCount, ThreadPool.PendingWorkItemCount, streams.Open);
    }
}
