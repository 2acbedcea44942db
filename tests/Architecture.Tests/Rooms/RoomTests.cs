using System.Reflection;

namespace LlmGateway.Architecture.Tests.Rooms;

public sealed class RoomTests
{
    // The arrows of the house, from low to high; nothing points up.
    private static readonly RoomTable House = new(new Dictionary<string, string[]>
    {
        ["Probes"] = [],
        ["ProcessManager"] = ["Probes"],
        ["Gateway.Models"] = ["Probes" + RoomTable.OnlyOptions, "ProcessManager" + RoomTable.OnlyOptions],
        ["Gateway.Telemetry"] = [],
        ["Gateway.Import"] = [],
        ["Gateway.Requests"] = ["Gateway.Telemetry", "Gateway.Models"],
        ["Gateway.Keys"] = ["Gateway.Telemetry", "Gateway.Models"],
        ["Gateway.Backends"] = ["Gateway.Telemetry", "Gateway.Models", "Probes", "ProcessManager"],
        ["Gateway.Scheduling"] = ["Gateway.Telemetry", "Gateway.Requests", "Gateway.Backends", "Gateway.Keys", "Gateway.Models", "Probes", "ProcessManager"],
        ["Gateway.Forwarding"] = ["Gateway.Telemetry", "Gateway.Scheduling", "Gateway.Backends", "Gateway.Requests", "Gateway.Models", "Gateway.Keys", "Probes"],
        ["Gateway.Operations"] = ["Gateway.Telemetry", "Gateway.Scaling", "Gateway.Scheduling", "Gateway.Backends", "Gateway.Models", "Gateway.Requests", "Probes", "ProcessManager"],
        ["Gateway.Scaling"] = ["Gateway.Telemetry", "Gateway.Scheduling", "Gateway.Backends", "Gateway.Keys", "Gateway.Models", "Gateway.Requests", "Probes", "ProcessManager"],

        // The files at the root of the gateway: its pipeline and its start.
        ["Gateway"] =
        [
            "Gateway.Models", "Gateway.Telemetry", "Gateway.Requests", "Gateway.Keys", "Gateway.Backends", "Gateway.Scheduling",
            "Gateway.Forwarding", "Gateway.Operations", "Gateway.Scaling", "Gateway.Import", "Probes", "ProcessManager",
        ],
    });

    private static readonly Lazy<IReadOnlyList<Arrow>> Real = new(() => Arrows.Of(
        Assembly.Load("LlmGateway.Probes"), Assembly.Load("LlmGateway.ProcessManager"), Assembly.Load("llm-gateway")));

    private static readonly Lazy<IReadOnlyList<Arrow>> PlantedArrows = new(() => Arrows.Of(typeof(RoomTests).Assembly));

    [Fact]
    public void Rooms_KnowOnlyRoomsOfTheirTable() => Rule.Holds(House.Violations(Real.Value));

    // One owner of backend truth: YARP forwards, and never routes or balances.
    [Fact]
    public void Yarp_IsKnownToForwardingOnly() =>
        Assert.Equal(["Gateway.Forwarding"], Real.Value.Where(IsYarp).Select(arrow => RoomTable.RoomOf(arrow.Namespace)).Distinct());

    [Fact]
    public void Arrows_OfRealAssemblies_AreFound()
    {
        Assert.Contains(Real.Value, arrow => arrow.Namespace.StartsWith("LlmGateway.ProcessManager", StringComparison.Ordinal));
        Assert.Contains(Real.Value, arrow => arrow.TargetNamespace.StartsWith("LlmGateway.Probes", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("LlmGateway.Probes.LlamaServer", "LlmGateway.ProcessManager.Replicas", "Probes must not know ProcessManager: A -> B")]
    [InlineData("LlmGateway.Gateway.Scheduling.Order", "LlmGateway.Gateway.Forwarding", "Gateway.Scheduling must not know Gateway.Forwarding: A -> B")]
    [InlineData("LlmGateway.Gateway.Models", "LlmGateway.Gateway", "Gateway.Models must not know Gateway: A -> B")]
    [InlineData("LlmGateway.Gateway.Models", "LlmGateway.ProcessManager.Launching", "Gateway.Models must not know ProcessManager: A -> B")]
    [InlineData("LlmGateway.Gateway.Attic", "System", "A is in Gateway.Attic, which is no room of the table")]
    [InlineData("LlmGateway.Cellar", "System", "A is in Cellar, which is no room of the table")]
    public void Violations_PlantedArrow_IsNamed(string from, string to, string sentence) =>
        Assert.Equal([sentence], House.Violations([new Arrow("A", from, "B", to)]));

    [Theory]
    [InlineData("LlmGateway.Gateway.Scheduling.Order", "LlmGateway.Gateway.Scheduling.Shedding")]
    [InlineData("LlmGateway.Gateway", "LlmGateway.Gateway.Forwarding")]
    [InlineData("LlmGateway.Gateway.Backends", "LlmGateway.Probes")]
    [InlineData("LlmGateway.Probes", "System.Net.Http")]
    [InlineData("System.Text.RegularExpressions.Generated", "LlmGateway.Gateway.Models")]
    public void Violations_AllowedArrow_None(string from, string to) =>
        Assert.Empty(House.Violations([new Arrow("A", from, "B", to)]));

    [Fact]
    public void Violations_OptionsOfALowerFloor_OnlyTheseMayBeKnownToModels()
    {
        var options = new Arrow("ModelOptions", "LlmGateway.Gateway.Models", "ProbeOptions", "LlmGateway.Probes", TargetIsOption: true);

        Assert.Empty(House.Violations([options]));
        Assert.Single(House.Violations([options with { TargetIsOption = false }]));
        Assert.Single(House.Violations([options with { Namespace = "LlmGateway.Gateway.Requests" }]));
    }

    // What the reader of assemblies must not miss: knowledge that is nowhere but inside a method, a lambda or an async method.
    [Theory]
    [InlineData(nameof(Planted.InMethod))]
    [InlineData(nameof(Planted.InLambda))]
    [InlineData(nameof(Planted.InAsyncMethod))]
    [InlineData(nameof(Planted.InGenericArgument))]
    public void Arrows_OfPlantedType_AreFound(string type) =>
        Assert.Contains(PlantedArrows.Value, arrow => arrow.Type.Contains($"+{type}", StringComparison.Ordinal) && arrow.TargetType.EndsWith("+Secret", StringComparison.Ordinal));

    private static bool IsYarp(Arrow arrow) => arrow.TargetNamespace.StartsWith("Yarp.", StringComparison.Ordinal);
}
