using System.Net;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>The example configurations, as they are: only listeners, ports, who serves and the models' files are replaced, by what the command line is for.</summary>
public sealed class ExampleTests : IDisposable
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Files => [.. Directory.GetFiles(Folder, "*.json").Select(Path.GetFileName).OfType<string>()];

    /// <summary>A file that looks like a model to the simulator.</summary>
    private readonly string _file = Path.GetTempFileName();

    public ExampleTests() => File.WriteAllText(_file, "GGUF");

    public void Dispose() => File.Delete(_file);

    private static string Folder => Path.Combine(RepositoryPaths.Root, "config", "examples");

    [Theory(Timeout = Limit)]
    [MemberData(nameof(Files))]
    public async Task Check_Example_IsValid(string file)
    {
        await using var process = ChildProcess.Start(GatewayProcess.Executable, ["check", "--config", Path.Combine(Folder, file)]);
        Assert.Equal(0, await process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(40)));
    }

    [Fact(Timeout = Limit)]
    public async Task OneModel_AnswersByItsAlias()
    {
        await using var gateway = await StartAsync("one-model.json", ["qwen3-8b"]);
        Assert.Equal(2, (await gateway.UntilReadyAsync(Ct)).Replicas.Count());
        Assert.True(Assert.Single(await gateway.Data.StreamAllAsync(1, "gpt-4o-mini", 5, Ct)).IsWhole);
    }

    [Fact(Timeout = Limit)]
    public async Task ManyModels_AllAnswerWithinTheBudget()
    {
        string[] models = ["embed", "chat", "code", "vision", "large"];
        await using var gateway = await StartAsync("many-models.json", models);
        await gateway.UntilAsync(status => status.Model("embed").State == "ready" && status.Model("large").State == "unloaded", "the eager model alone", Ct);
        foreach (var model in models)
        {
            Assert.True(Assert.Single(await gateway.Data.StreamAllAsync(1, model, 3, Ct)).IsWhole);
            var loaded = (await gateway.StatusAsync(Ct)).Models.Where(one => one.Replicas.Any(replica => replica.Pid is not null)).Select(one => one.Name).ToArray();
            Assert.Contains("embed", loaded);
            Assert.False(loaded.Contains("vision") && loaded.Contains("large"), string.Join(", ", loaded));
        }
    }

    [Fact(Timeout = Limit)]
    public async Task RemoteBackends_BothAnswer()
    {
        await using var first = await SimulatorProcess.StartAsync(Ct);
        await using var second = await SimulatorProcess.StartAsync(Ct);
        await using var gateway = await StartAsync("remote-backends.json", [], $"--Models:llama-70b:Remotes:0:Url={first.BaseAddress}", $"--Models:llama-70b:Remotes:1:Url={second.BaseAddress}");
        await gateway.UntilReadyAsync(Ct);
        var answers = await gateway.Data.StreamAllAsync(12, "llama-70b", 5, Ct);
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Equal(2, answers.Select(answer => answer.Backend).Distinct().Count());
    }

    [Fact(Timeout = Limit)]
    public async Task KeysAndLimits_AsksForAKey()
    {
        await using var gateway = await StartAsync("keys-and-limits.json", ["chat", "embed"]);
        await gateway.UntilReadyAsync(Ct);
        using var refused = await gateway.Data.ChatAsync("chat", 1, Ct);
        await refused.AssertErrorAsync(HttpStatusCode.Unauthorized, "invalid_api_key", Ct);
    }

    private Task<GatewayProcess> StartAsync(string file, string[] simulated, params string[] arguments) => GatewayProcess.StartWithArgumentsAsync(
        [
            "--config", Path.Combine(Folder, file), .. arguments,
            .. simulated.SelectMany(model => new[] { $"--Models:{model}:Kind=simulator", $"--Models:{model}:Args:1={_file}" }),
        ],
        simulated,
        Ct);
}
