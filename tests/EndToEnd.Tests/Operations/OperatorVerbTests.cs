using System.Text.Json.Nodes;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>The verbs that talk to a running gateway, as a person types them.</summary>
public sealed class OperatorVerbTests(ManagedGateway managed) : IClassFixture<ManagedGateway>
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => managed.Gateway;

    [Fact(Timeout = Limit)]
    public async Task Status_FoundByTheConfiguration_ShowsEachBackend()
    {
        await Gateway.UntilReadyAsync(Ct);
        var (exit, output) = await RunAsync("status", "--config", Gateway.ConfigurationPath);
        Assert.Equal(0, exit);
        Assert.Contains("org/model:q4: ready, 2 of 2 backends ready, none waits", output, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^  BACKEND +STATE +PID +ADDRESS", output);
        Assert.Matches(@"(?m)^  org/model:q4/1 +ready +\d+ +\S+ +0/2", output);

        var (_, json) = await RunAsync("status", "--json", "--config", Gateway.ConfigurationPath);
        Assert.Equal("org/model:q4", (string?)JsonNode.Parse(json)!["models"]![0]!["name"]);
        var (none, message) = await RunAsync("status", "nope", "--config", Gateway.ConfigurationPath);
        Assert.Equal(1, none);
        Assert.Contains("no model 'nope'", message, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Verbs_OfABackend_AreCarriedOut()
    {
        await Gateway.UntilReadyAsync(Ct);
        Assert.StartsWith("org/model:q4/1: draining", await OkAsync("drain", "org/model:q4/1"), StringComparison.Ordinal);
        Assert.StartsWith("org/model:q4/1: ready", await OkAsync("resume", "org/model:q4/1"), StringComparison.Ordinal);
        Assert.StartsWith("org/model:q4/1: stopped", await OkAsync("stop", "org/model:q4/1"), StringComparison.Ordinal);
        Assert.StartsWith("org/model:q4/1: ready", await OkAsync("start", "org/model:q4/1"), StringComparison.Ordinal);
        Assert.StartsWith("org/model:q4/1: ready", await OkAsync("restart", "org/model:q4/1"), StringComparison.Ordinal);
        Assert.StartsWith("org/model:q4/1: accepted", await OkAsync("reset", "--no-wait", "org/model:q4/1"), StringComparison.Ordinal);
        Assert.Contains("listening on", await OkAsync("logs", "org/model:q4/1", "--tail", "50"), StringComparison.Ordinal);
        Assert.Contains("drain of org/model:q4/1 was ordered by token", await OkAsync("events", "--tail", "200"), StringComparison.Ordinal);
        Assert.Contains("FIRST TOKEN", await OkAsync("requests"), StringComparison.Ordinal);
        Assert.StartsWith(Gateway.ManagementUrl.AbsoluteUri + "login?code=", await OkAsync("dashboard"), StringComparison.Ordinal);
    }

    [Theory(Timeout = Limit)]
    [InlineData("restart nope/0", "names no such replica")]
    [InlineData("restart nope", "names no backend")]
    [InlineData("drain org/model:q4", "names no backend")]
    [InlineData("cancel nope", "No request of that id")]
    public async Task Verb_OfWhatIsNotThere_Is1AndSaysSo(string verb, string part)
    {
        var (exit, output) = await RunAsync([.. verb.Split(' '), "--config", Gateway.ConfigurationPath]);
        Assert.Equal(1, exit);
        Assert.Contains(part, output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Verb_WithoutAGatewayOrItsToken_SaysWhatIsMissing()
    {
        using var folder = new GatewayFolder();
        var never = folder.Write("""{ "Models": {} }""");
        var (noToken, why) = await RunAsync("status", "--config", never);
        Assert.Equal(77, noToken);
        Assert.Contains("management.token", why, StringComparison.Ordinal);

        var nobody = new Dictionary<string, string?> { ["LLMGATEWAY_TOKEN"] = "0123456789abcdef" };
        var (unreachable, told) = await RunAsync(["status", "--config", never, "--management", "http://127.0.0.1:1"], nobody);
        Assert.Equal(69, unreachable);
        Assert.Contains("http://127.0.0.1:1", told, StringComparison.Ordinal);

        var (wrong, refused) = await RunAsync(["status", "--config", Gateway.ConfigurationPath], nobody);
        Assert.Equal(77, wrong);
        Assert.Contains("management token", refused, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Verb_OfAnotherMachine_NeedsOnlyUrlAndToken()
    {
        var token = new Dictionary<string, string?> { ["LLMGATEWAY_TOKEN"] = (await File.ReadAllTextAsync(Gateway.TokenFile, Ct)).Trim() };
        var (exit, output) = await RunAsync(["status", "--management", Gateway.ManagementUrl.AbsoluteUri], token);
        Assert.Equal(0, exit);
        Assert.Contains("org/model:q4", output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Restart_OfAModelUnderLoad_FailsNoRequest()
    {
        var before = (await Gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid).ToArray();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var clients = Enumerable.Range(0, 6).Select(async _ =>
        {
            var answers = new List<StreamedAnswer>();
            while (!over.IsCancellationRequested)
            {
                answers.Add(await (await Gateway.Data.StreamAsync("org/model:q4", 20, Ct)).ReadToEndAsync(Ct));
            }

            return answers;
        }).ToList();

        Assert.Equal("org/model:q4: 2 backends restarted", (await OkAsync("restart", "org/model:q4")).Trim());
        await over.CancelAsync();
        var all = (await Task.WhenAll(clients)).SelectMany(answers => answers).ToList();

        Assert.NotEmpty(all);
        Assert.All(all, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Empty((await Gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid).Intersect(before));
    }

    private async Task<string> OkAsync(params string[] arguments)
    {
        var (exit, output) = await RunAsync([.. arguments, "--config", Gateway.ConfigurationPath]);
        Assert.True(exit == 0, output);
        return output;
    }

    private static Task<(int Exit, string Output)> RunAsync(params string[] arguments) => RunAsync(arguments, null);

    private static async Task<(int Exit, string Output)> RunAsync(IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment)
    {
        await using var process = ChildProcess.Start(GatewayProcess.Executable, arguments, environment, Path.GetTempPath());
        var exit = await process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(90));
        await process.WaitForOutputAsync(Ct);
        return (exit, process.Output);
    }
}
