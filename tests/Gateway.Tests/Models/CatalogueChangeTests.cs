using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class CatalogueChangeTests
{
    private static readonly ModelOptions Local = new() { Kind = ModelKind.Simulator, Args = ["--seed", "1"], Replicas = 2 };

    [Fact]
    public void Between_TheSame_IsEmpty()
    {
        var change = Between(new() { Models = Models(("a", Local)) }, new() { Models = Models(("a", Local with { Args = ["--seed", "1"] })) });
        Assert.True(change.IsEmpty);
        Assert.Equal(["a"], change.Unchanged);
    }

    [Fact]
    public void Between_ModelsComeAndGo_NamesThem()
    {
        var change = Between(new() { Models = Models(("a", Local), ("b", Local)) }, new() { Models = Models(("b", Local), ("c", Local)) });
        Assert.Equal(["c", "a", "b"], [.. change.Added, .. change.Removed, .. change.Unchanged]);
        Assert.Equal(["+ c: new", "- a: drains and ends", "  b: unchanged"], change.Describe());
    }

    public static TheoryData<string, bool> Changes => new()
    {
        { "Args", true }, { "Slots", true }, { "Environment", true }, { "Ports", true }, { "Restart", true }, { "Probes", true }, { "StopTimeout", true }, { "Kind", true },
        { "Replicas", false }, { "Aliases", false }, { "Queue", false }, { "Timeouts", false }, { "Retry", false }, { "Load", false }, { "IdleTimeout", false },
        { "Group", false }, { "MemoryBytes", false }, { "SetParams", false }, { "StripParams", false }, { "SlowStart", false }, { "Breaker", false },
    };

    [Theory]
    [MemberData(nameof(Changes))]
    public void Between_OneOptionDiffers_ReplacesProcessesOnlyWhenTheyDependOnIt(string option, bool isReplaced)
    {
        var changed = option switch
        {
            "Args" => Local with { Args = ["--seed", "2"] },
            "Slots" => Local with { Slots = 5 },
            "Environment" => Local with { Environment = new Dictionary<string, string?> { ["A"] = null } },
            "Ports" => Local with { Ports = new(1000, 1002) },
            "Restart" => Local with { Restart = new() { MaxRestarts = 1 } },
            "Probes" => Local with { Probes = new() { Readiness = new() { Path = "/x" } } },
            "StopTimeout" => Local with { StopTimeout = TimeSpan.FromSeconds(1) },
            "Kind" => Local with { Kind = ModelKind.Remote, Remotes = [new() { Url = "http://127.0.0.1:9" }] },
            "Replicas" => Local with { Replicas = 3 },
            "Aliases" => Local with { Aliases = ["x"] },
            "Queue" => Local with { Queue = new() { MaxDepth = 1 } },
            "Timeouts" => Local with { Timeouts = new() { Connect = TimeSpan.FromSeconds(1) } },
            "Retry" => Local with { Retry = new() { MaxAttempts = 1 } },
            "Load" => Local with { Load = LoadMode.OnDemand },
            "IdleTimeout" => Local with { IdleTimeout = TimeSpan.FromSeconds(1) },
            "Group" => Local with { Group = "g" },
            "MemoryBytes" => Local with { MemoryBytes = ByteSize.FromMiB(1) },
            "SetParams" => Local with { SetParams = new() { ["a"] = 1 } },
            "StripParams" => Local with { StripParams = ["a"] },
            "SlowStart" => Local with { SlowStart = TimeSpan.Zero },
            _ => Local with { Breaker = new() { MinimumThroughput = 99 } },
        };
        var change = Between(new() { Models = Models(("a", Local)) }, new() { Models = Models(("a", changed)) });
        Assert.Equal(isReplaced ? ["a"] : [], change.Replaced);
        Assert.Equal(isReplaced ? [] : ["a"], change.Adjusted);
    }

    [Fact]
    public void Between_Remotes_ReplacesWhenAServerDiffers()
    {
        ModelOptions Remote(int slots) => new() { Kind = ModelKind.Remote, Remotes = [new() { Url = "http://127.0.0.1:9", Slots = slots }] };
        Assert.Equal(["a"], Between(new() { Models = Models(("a", Remote(1))) }, new() { Models = Models(("a", Remote(2))) }).Replaced);
        Assert.True(Between(new() { Models = Models(("a", Remote(1))) }, new() { Models = Models(("a", Remote(1))) }).IsEmpty);
    }

    [Fact]
    public void Between_SectionsBesideTheModels_SaysWhatTakesEffectAndWhatNeedsARestart()
    {
        var change = Between(new(), new()
        {
            Gateway = new() { Listen = ["http://127.0.0.1:1"], MaxConcurrentRequests = 7, Hosts = ["x"] },
            Management = new() { ReadOnly = true },
            Queue = new() { Timeout = TimeSpan.FromSeconds(1), MaxBytes = ByteSize.FromMiB(1) },
            Keys = [new() { Name = "k" }],
        });
        Assert.Equal(["Queue", "Keys", "Gateway:MaxConcurrentRequests"], change.Sections);
        Assert.Equal(["Gateway:Listen", "Gateway:Hosts", "Management:ReadOnly", "Queue:MaxBytes"], change.NeedsRestart);
    }

    private static CatalogueChange Between(GatewayOptions before, GatewayOptions after) => CatalogueChange.Between(new(before), new(after));

    private static Dictionary<string, ModelOptions> Models(params (string Name, ModelOptions Options)[] models) =>
        models.ToDictionary(model => model.Name, model => model.Options);
}
