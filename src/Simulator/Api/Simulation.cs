using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Engine;
using LlmGateway.Simulator.Hosting;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Api;

/// <summary>All that a request may need.</summary>
internal sealed record Simulation(
    ServerSettings Settings,
    FaultSwitch Faults,
    ServerState State,
    SlotPool Slots,
    Decoder Decoder,
    EngineCounters Counters,
    ServerLog Log,
    TimeProvider Time)
{
    public const string Build = "b11669-simulator";

    /// <summary>The id that answers carry, or the one that a fault puts in its place.</summary>
    public string ModelId => Faults.Current.Alias ?? Settings.ModelId;

    public long UnixTime => Time.GetUtcNow().ToUnixTimeSeconds();
}
