using System.Text.Json;
using System.Text.Json.Serialization;

namespace LlmGateway.TestKit.Gateways;

/// <summary>The answer of <c>/api/status</c>, as far as tests look at it.</summary>
public sealed record GatewaySnapshot(GatewayPart Gateway, IReadOnlyList<ModelPart> Models)
{
    /// <summary>The answer itself, for messages.</summary>
    [JsonIgnore]
    public string Json { get; private init; } = "";

    public IEnumerable<ReplicaPart> Replicas => Models.SelectMany(model => model.Replicas);

    public static GatewaySnapshot Parse(string json) =>
        JsonSerializer.Deserialize<GatewaySnapshot>(json, JsonSerializerOptions.Web)! with { Json = json };

    public ModelPart Model(string name) => Models.Single(model => model.Name == name);

    public ReplicaPart Replica(string backend) => Replicas.Single(replica => replica.Backend == backend);

    public override string ToString() => Json;
}

public sealed record GatewayPart(string Version, bool Draining, int RequestsInFlight, ConfigPart Config);

public sealed record ConfigPart(string? Path, DateTimeOffset LoadedAt, IReadOnlyList<string> Errors);

public sealed record ModelPart(string Name, string State, QueuePart Queue, IReadOnlyList<ReplicaPart> Replicas);

public sealed record QueuePart(int Depth, int Limit, long Bytes);

public sealed record ReplicaPart(
    string Backend, string Kind, string State, int? Pid, string? Address, SlotsPart Slots, int? RestartsInWindow, ExitPart? LastExit, string? NotRoutableBecause,
    ProbesPart? Probes, DateTimeOffset? NextTryAt, long? ResidentBytes = null);

public sealed record ProbesPart(string Startup, string Readiness, string Liveness);

public sealed record SlotsPart(int Total, int Busy, int Quarantined);

public sealed record ExitPart(int? Code, int? Signal, string Cause, string Advice, IReadOnlyList<string> Log);
