using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class ModelCatalogueTests
{
    [Fact]
    public void Find_NameAndAlias_GiveTheModel()
    {
        var catalogue = new ModelCatalogue(new GatewayOptions
        {
            Models = new Dictionary<string, ModelOptions> { ["org/m:8b"] = new() { Aliases = ["gpt"] }, ["b"] = Configured.Remote() },
        });
        Assert.Same(catalogue.Models[0], catalogue.Find("org/m:8b"));
        Assert.Same(catalogue.Models[0], catalogue.Find("gpt"));
        Assert.Null(catalogue.Find("GPT"));
        Assert.Null(catalogue.Find(""));
        Assert.Null(catalogue.Sole);
        Assert.Equal(1, catalogue.LocalReplicas);
    }

    [Fact]
    public void Sole_OneModel_IsIt() => Assert.Equal("a", new ModelCatalogue(Configured.Gateway("a")).Sole?.Name);

    [Fact]
    public void Queue_NothingSet_FollowsTheSlots()
    {
        var model = new Model("a", new ModelOptions { Replicas = 2, Slots = 3 }, new QueueOptions());
        Assert.Equal(new QueueLimits(32 * 6, 4 * 6, 256L << 20, TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(120)), model.Queue);
        Assert.Equal((6, 3), (model.ConfiguredSlots, model.LargestBackend));
    }

    [Fact]
    public void Queue_ModelOverRootOverDefault()
    {
        var model = new Model(
            "a",
            new ModelOptions { Queue = new QueueOptions { MaxDepth = 1 } },
            new QueueOptions { MaxDepth = 2, Timeout = TimeSpan.FromSeconds(3) });
        Assert.Equal((1, TimeSpan.FromSeconds(3)), (model.Queue.MaxDepth, model.Queue.Timeout));
    }

    [Fact]
    public void LargestBackend_Remotes_IsTheLargestOne()
    {
        var options = Configured.Remote() with { Remotes = [new() { Slots = 2 }, new() { Slots = 5 }] };
        var model = new Model("a", options, new QueueOptions());
        Assert.Equal((7, 5), (model.ConfiguredSlots, model.LargestBackend));
    }

    [Theory]
    [InlineData("16GiB", 2, 1024)]
    [InlineData("1GiB", 4, 64)]
    [InlineData("1TiB", 1, 8192)]
    public void ToReplicaSet_PromptCaches_ShareAnEighthOfTheBudgetWithinBounds(string budget, int replicas, int expected)
    {
        Assert.True(ByteSize.TryParse(budget, out var size));
        var catalogue = new ModelCatalogue(new GatewayOptions
        {
            Memory = new MemoryOptions { Budget = size },
            Models = new Dictionary<string, ModelOptions> { ["a"] = new() { Replicas = replicas } },
        });
        Assert.Equal(expected, catalogue.ToReplicaSet(catalogue.Models[0], "/sim").CacheRamMiB);
    }

    [Fact]
    public void Replicas_ChangedAndReloaded_LastOnlyWhereTheLoadDecides()
    {
        var options = new GatewayOptions
        {
            Models = new Dictionary<string, ModelOptions>
            {
                ["fixed"] = new() { Replicas = 2 },
                ["scaled"] = new() { Replicas = 1, Slots = 3, Scale = new() { MaxReplicas = 5 } },
            },
        };
        var now = new ModelCatalogue(options).WithReplicas("fixed", 3).WithReplicas("scaled", 4);
        Assert.Equal([3, 4], now.Models.Select(model => model.Replicas));
        Assert.Equal([false, true], now.Models.Select(model => model.IsScaled));
        Assert.Equal((15, 8), (now.Find("scaled")!.ConfiguredSlots, now.LocalReplicas));
        Assert.Equal(4, now.ToReplicaSet(now.Models[1], "/sim").Replicas);
        Assert.Equal([2, 4], new ModelCatalogue(options).After(now).Models.Select(model => model.Replicas));
        var tighter = options with { Models = new Dictionary<string, ModelOptions>(options.Models) { ["scaled"] = new() { Scale = new() { MaxReplicas = 3 } } } };
        Assert.Equal(3, new ModelCatalogue(tighter).After(now).Find("scaled")!.Replicas);
        Assert.Equal(["fixed"], CatalogueChange.Between(now, new ModelCatalogue(options).After(now)).Adjusted);
    }

    [Fact]
    public void ToReplicaSet_Command_ProbesByTcp()
    {
        var set = new Model("a", new ModelOptions { Kind = ModelKind.Command, Executable = "x" }, new QueueOptions()).ToReplicaSet(3, "/sim");
        Assert.Equal<(ProbeKind?, ProbeKind?, string)>((ProbeKind.Tcp, ProbeKind.Tcp, "x"), (set.Startup?.Kind, set.Readiness?.Kind, set.Executable));
    }

    [Theory]
    [InlineData(null, 50, 500)]
    [InlineData(2000, 2000, 2000)]
    public void ToReplicaSet_StartupPeriod_IsKeptFromTheBeginningWhenItIsConfigured(int? configured, int first, int period)
    {
        var probes = new ProbesOptions { Startup = new() { Timeout = TimeSpan.FromSeconds(3), Period = configured is { } ms ? TimeSpan.FromMilliseconds(ms) : null } };
        var startup = new Model("a", new ModelOptions { Probes = probes }, new QueueOptions()).ToReplicaSet(0, "/sim").Startup;
        Assert.Equal((first, period, 3000), (startup.FirstPeriod!.Value.TotalMilliseconds, startup.Period.TotalMilliseconds, startup.Timeout.TotalMilliseconds));
    }

    [Fact]
    public void ToReplicaSet_Simulator_RunsTheBuiltInOneWhateverStandsThere()
    {
        var set = new Model("a", new ModelOptions { Kind = ModelKind.Simulator, Executable = "x", Slots = 2 }, new QueueOptions()).ToReplicaSet(0, "/sim");
        Assert.Equal<(string, int, int?, ProbeKind?)>(("/sim", 1, 2, ProbeKind.Http), (set.Executable, set.LocalReplicas, set.Slots, set.Startup?.Kind));
    }
}
