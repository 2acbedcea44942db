using System.Diagnostics;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Replicas on one machine share its cores: several are no slower than one. The numbers are the machine's; the promise is not.</summary>
[Trait("Suite", "Real")]
[Trait("Suite", "Long")]
public sealed class CoreShareTests
{
    private const int Streams = 4;
    private const int Tokens = 150;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 600_000)]
    public async Task TwoReplicas_SameLoad_AreNotSlowerThanOne()
    {
        RealServer.SkipIfAbsent();
        var one = await TokensPerSecondAsync(replicas: 1, "");
        var two = await TokensPerSecondAsync(replicas: 2, "");
        var unshared = await TokensPerSecondAsync(replicas: 2, $""", "-t", "{Environment.ProcessorCount}" """);

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{Environment.ProcessorCount} cores, {Streams} streams: one replica {one:0} tokens/s, two {two:0}, two with a thread for every core each {unshared:0}");
        Assert.True(two > one * 0.8, $"two replicas make {two:0} tokens a second, one makes {one:0}");
    }

    private static async Task<double> TokensPerSecondAsync(int replicas, string more)
    {
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Models": { "medium": {
                "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{RealServer.MediumModel}}", "-c", "8192"{{more}}],
                "Replicas": {{replicas}}, "Slots": {{Streams / replicas}}, "SlowStart": "0s" } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        await gateway.Data.StreamAllAsync(Streams, "medium", 10, Ct); // warm
        var clock = Stopwatch.StartNew();
        var answers = await gateway.Data.StreamAllAsync(Streams, "medium", Tokens, Ct);
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        return Streams * Tokens / clock.Elapsed.TotalSeconds;
    }
}
