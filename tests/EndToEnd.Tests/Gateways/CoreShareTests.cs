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

    /// <summary>What two runs of the same may differ by on a machine that does other things, too.</summary>
    private const double Noise = 0.8;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 600_000)]
    public async Task Replicas_SameLoad_AreNotSlowerThanOne()
    {
        RealServer.SkipIfAbsent();
        var one = await TokensPerSecondAsync(replicas: 1);
        var two = await TokensPerSecondAsync(replicas: 2);
        var four = await TokensPerSecondAsync(replicas: 4);
        var pinned = await TokensPerSecondAsync(replicas: 2, affinity: true);
        var unshared = await TokensPerSecondAsync(replicas: 2, arguments: $""", "-t", "{Environment.ProcessorCount}" """);

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{Environment.ProcessorCount} cores, {Streams} streams, tokens a second: one replica {one:0}, two {two:0}, four {four:0}, "
            + $"two with CpuAffinity {pinned:0}, two with a thread for every core each {unshared:0}");
        Assert.True(two > one * Noise && four > one * Noise && pinned > one * Noise, $"one makes {one:0} tokens a second, two {two:0}, four {four:0}, two on cores of their own {pinned:0}");
    }

    private static async Task<double> TokensPerSecondAsync(int replicas, string arguments = "", bool affinity = false)
    {
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Models": { "medium": {
                "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{RealServer.MediumModel}}", "-c", "8192"{{arguments}}],
                "Replicas": {{replicas}}, "Slots": {{Streams / replicas}}, "CpuAffinity": {{(affinity ? "true" : "false")}}, "SlowStart": "0s" } } }
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
