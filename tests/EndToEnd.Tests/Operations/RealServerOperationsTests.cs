using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>What operators do to real llama-servers.</summary>
[Trait("Suite", "Real")]
public sealed class RealServerOperationsTests
{
    public RealServerOperationsTests() => RealServer.SkipIfAbsent();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 180_000)]
    public async Task Restart_OfAModelUnderLoad_FailsNoRequestAndItsUseIsSeen()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""{ "Models": { "noise": { "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{RealServer.TinyModel}}", "-c", "2048"], "Replicas": 2, "Slots": 2 } } }""", Ct);
        var before = (await gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid).ToArray();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var clients = Enumerable.Range(0, 4).Select(async _ =>
        {
            var answers = new List<StreamedAnswer>();
            while (!over.IsCancellationRequested)
            {
                answers.Add(await (await gateway.Data.StreamAsync("noise", 100, Ct)).ReadToEndAsync(Ct));
            }

            return answers;
        }).ToList();

        using var restarted = await gateway.Management.PostAsync(new Uri("api/models/noise/restart?wait=true", UriKind.Relative), null, Ct);
        Assert.Equal(2, (int)(await restarted.JsonAsync(Ct))["restarted"]!);
        await over.CancelAsync();
        var all = (await Task.WhenAll(clients)).SelectMany(answers => answers).ToList();

        Assert.All(all, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Empty((await gateway.UntilReadyAsync(Ct)).Replicas.Select(replica => replica.Pid).Intersect(before));
        await gateway.UntilAsync(status => status.Replicas.All(replica => replica.ResidentBytes > 1 << 20), "their memory to be seen", Ct);
        Assert.Contains("llama_server", await gateway.Management.GetStringAsync(new Uri("api/replicas/noise/0/logs?tail=500", UriKind.Relative), Ct), StringComparison.Ordinal);
    }
}
