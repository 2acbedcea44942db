using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Tests.Fakes;

/// <summary>Backends and what is published about them.</summary>
internal static class Servers
{
    public static Backend Backend(int index = 0, string model = "m", bool hasSlots = true, int generation = 0, BackendAddress? address = null) =>
        new($"{model}/{index}", model, generation, address ?? BackendAddress.Tcp("127.0.0.1", 9), apiKey: null, hasSlots);

    public static BackendEntry Entry(Backend backend, int slots, BackendCondition condition = BackendCondition.Ready) =>
        new(backend.Name, condition, backend, slots, Replica: null, condition == BackendCondition.Ready ? null : "because");

    public static BackendEntry None(BackendCondition condition, int index = 0) => new($"m/{index}", condition, null, 0, null, "because");

    public static BackendSnapshot Snapshot(params ImmutableArray<BackendEntry> entries) => new("m", entries);
}
