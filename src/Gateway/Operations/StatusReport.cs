using System.Collections.Immutable;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Operations;

/// <summary>The JSON of <c>/api/status</c>. Built from published snapshots; holds no secret.</summary>
internal sealed record StatusReport(GatewayStatus Gateway, ImmutableArray<ModelStatus> Models)
{
    /// <summary>How it is written: camel case names, snake case states.</summary>
    public static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
        WriteIndented = true,
    };

    /// <summary>The same on one line.</summary>
    public static JsonSerializerOptions Compact { get; } = new(Json) { WriteIndented = false };

    public static string Version { get; } =
        typeof(StatusReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];
}

internal sealed record GatewayStatus(
    string Version, DateTimeOffset StartedAt, double UptimeSeconds, bool Draining, int RequestsInFlight, ConfigurationStatus Config);

internal sealed record ConfigurationStatus(string? Path, DateTimeOffset LoadedAt, ImmutableArray<string> Errors);

internal sealed record ModelStatus(string Name, IReadOnlyList<string> Aliases, string State, QueueReport Queue, ImmutableArray<ReplicaReport> Replicas);

internal sealed record QueueReport(int Depth, int Limit, long Bytes, double OldestAgeSeconds, ImmutableArray<BandReport> Bands);

internal sealed record BandReport(string Priority, int Depth);

internal sealed record ReplicaReport(
    string Backend,
    string Kind,
    string State,
    int? Pid,
    string? Address,
    double? UptimeSeconds,
    SlotReport Slots,
    ProbeSummary? Probes,
    int? RestartsInWindow,
    ExitReport? LastExit,
    string? NotRoutableBecause,
    DateTimeOffset? NextTryAt);

internal sealed record SlotReport(int Total, int Busy, int Quarantined);

/// <summary>Puts the report together.</summary>
internal sealed class StatusReporter(
    LiveCatalogue catalogue, BackendRegistry registry, Scheduler scheduler, Lifecycle lifecycle, TimeProvider time)
{
    public StatusReport Report() => new(
        new GatewayStatus(
            StatusReport.Version,
            lifecycle.StartedAt,
            Math.Round(lifecycle.Uptime.TotalSeconds, 3),
            lifecycle.IsDraining,
            lifecycle.InFlight,
            new ConfigurationStatus(catalogue.State.Path, catalogue.State.LoadedAt ?? lifecycle.StartedAt, catalogue.State.Errors)),
        [.. catalogue.Current.Models.Select(Report)]);

    /// <summary>The model's state in one word, as clients see it too.</summary>
    public static string StateOf(BackendSnapshot snapshot) => snapshot.Best switch
    {
        BackendCondition.Ready => "ready",
        BackendCondition.Coming => "loading",
        BackendCondition.Failed => "failed",
        BackendCondition.Loadable => "unloaded",
        _ => "stopped",
    };

    private ModelStatus Report(Model model)
    {
        var snapshot = registry.Snapshot(model.Name);
        var queue = scheduler.Status(model.Name);
        return new ModelStatus(
            model.Name,
            model.Options.Aliases,
            StateOf(snapshot),
            new QueueReport(
                queue.Depth,
                queue.Limit,
                queue.Bytes,
                Math.Round(queue.OldestAge.TotalSeconds, 3),
                [.. queue.Bands.Select(band => new BandReport(band.Priority.ToLabel(), band.Depth))]),
            [.. snapshot.Entries.Select(entry => Report(model, entry, queue))]);
    }

    private ReplicaReport Report(Model model, BackendEntry entry, QueueStatus queue)
    {
        var slots = queue.Slots.LastOrDefault(slots => slots.Backend == entry.Name);
        var replica = entry.Replica;
        return new ReplicaReport(
            entry.Name,
            JsonNamingPolicy.KebabCaseLower.ConvertName(model.Options.Kind.ToString()),
            replica is null ? entry.Condition == BackendCondition.Ready ? "ready" : "not_ready" : JsonNamingPolicy.SnakeCaseLower.ConvertName(replica.State.ToString()),
            replica?.Pid,
            (replica?.Address ?? entry.Backend?.Address)?.ToString(),
            replica?.StartedAt is { } startedAt && replica.Pid is not null ? Math.Round((time.GetUtcNow() - startedAt).TotalSeconds, 3) : null,
            new SlotReport(replica?.Slots ?? entry.Slots, slots?.Busy ?? 0, (slots?.Quarantined ?? 0) + (replica?.LeakedSlots ?? 0)),
            replica?.Probes,
            replica?.RestartsInWindow,
            replica?.LastExit,
            entry.NotRoutableBecause,
            replica?.NextTryAt);
    }
}
