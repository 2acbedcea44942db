using System.Diagnostics;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Clients that come back at once, again and again, with three times what there is room for.</summary>
public sealed class RetryStormTests
{
    private const int Slots = 4;
    private const int Answers = 60;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120_000)]
    public async Task Fault59_ThriceTheLoadWithNaiveRetries_TheBackendWorksAsBefore()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": { "demo": { "Kind": "simulator", "Slots": 4, "Args": ["--sim-token-rate", "40"], "SlowStart": "0s", "Queue": { "MaxDepth": 4 } } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        await RunAsync(gateway, Slots, Slots); // warm

        var (calm, _) = await RunAsync(gateway, Slots, Answers);
        var (storm, refused) = await RunAsync(gateway, 3 * Slots, Answers);

        TestContext.Current.TestOutputHelper?.WriteLine($"{Answers} answers on {Slots} slots: {calm.TotalSeconds:0.0} s calm, {storm.TotalSeconds:0.0} s in the storm, which was refused {refused} times");
        Assert.True(refused > Answers, $"only {refused} refusals are no storm");
        Assert.True(calm / storm > 0.8, $"{Answers} answers took {calm.TotalSeconds:0.0} s without and {storm.TotalSeconds:0.0} s with the storm");
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct));
    }

    /// <summary>So many clients, who ask again at once when they are refused, until there are so many answers.</summary>
    private static async Task<(TimeSpan Elapsed, int Refused)> RunAsync(GatewayProcess gateway, int clients, int answers)
    {
        var (left, refused) = (answers, 0);
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, clients).Select(async _ =>
        {
            while (Volatile.Read(ref left) > 0)
            {
                using var answer = await gateway.Data.ChatAsync("demo", 8, Ct);
                if (answer.IsSuccessStatusCode)
                {
                    Interlocked.Decrement(ref left);
                }
                else
                {
                    Interlocked.Increment(ref refused);
                    await Task.Yield();
                }
            }
        }));
        return (clock.Elapsed, refused);
    }
}
