using System.Collections.Immutable;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Operations;

/// <summary>The JSON of <c>/api/status</c>. Built from published snapshots; holds no secret.</summary>
internal sealed record StatusReport(GatewayStatus Gateway, ImmutableArray<ModelStatus> Models, ImmutableArray<KeyReport> Keys)
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
    string Version,
    DateTimeOffset StartedAt,
    double UptimeSeconds,
    bool Draining,
    bool ReadOnly,
    int RequestsInFlight,
    ConfigurationStatus Config,
    MemoryReport Memory,
    ProcessReport Process);

/// <summary>What local models may take together, and what they are thought to take.</summary>
internal sealed record MemoryReport(long BudgetBytes, long EstimatedBytes);

/// <summary>The gateway's own process. 100 percent is one core.</summary>
internal sealed record ProcessReport(
    int Pid, double CpuPercent, long ResidentBytes, long HeapBytes, int Threads, int PoolThreads, long PoolPending, int OpenStreams);

/// <summary>One API key by its name; never anything of its secret.</summary>
internal sealed record KeyReport(string Name, int InFlight, int Queued, KeyLimitReport Limits);

/// <summary>Null where there is no limit.</summary>
internal sealed record KeyLimitReport(int? MaxConcurrent, int? RequestsPerMinute, int? TokensPerMinute);

internal sealed record ConfigurationStatus(string? Path, DateTimeOffset LoadedAt, ImmutableArray<string> Errors);

/// <summary>One model. <c>Scale</c> is null unless its load says how many processes it has.</summary>
internal sealed record ModelStatus(string Name, IReadOnlyList<string> Aliases, string State, ScaleReport? Scale, QueueReport Queue, ImmutableArray<ReplicaReport> Replicas);

/// <summary>How many processes a model is to have now, and between what that moves.</summary>
internal sealed record ScaleReport(int Replicas, int Least, int Most);

internal sealed record QueueReport(
    int Depth, int Limit, long Bytes, double OldestAgeSeconds, ImmutableArray<BandReport> Bands, double PredictedWaitSeconds, ImmutableArray<QueueKeyReport> Keys);

internal sealed record BandReport(string Priority, int Depth, double OldestAgeSeconds, double PredictedWaitSeconds);

/// <summary>One key's requests to one model.</summary>
internal sealed record QueueKeyReport(string Name, int Queued, int Running);

internal sealed record ReplicaReport(
    string Backend,
    string Kind,
    string State,
    int? Pid,
    string? Address,
    DateTimeOffset? StartedAt,
    double? UptimeSeconds,
    double? IdleSeconds,
    bool Overdue,
    double? CpuPercent,
    long? ResidentBytes,
    long? EstimatedBytes,
    SlotReport Slots,
    BreakerState Breaker,
    ProbeSummary Probes,
    int? RestartsInWindow,
    int? MaxRestarts,
    ExitReport? LastExit,
    string? NotRoutableBecause,
    string? LimitedBecause,
    DateTimeOffset? NextTryAt);

/// <summary>Slots of one backend; <c>usable</c> are those that the scheduler gives out now.</summary>
internal sealed record SlotReport(int Total, int Busy, int Quarantined, int Usable);
