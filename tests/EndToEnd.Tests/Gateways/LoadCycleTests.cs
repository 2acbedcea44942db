using System.Globalization;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A model that is loaded and unloaded again and again leaves nothing behind.</summary>
public sealed class LoadCycleTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120_000)]
    public Task FifteenCycles_LeakNothing() => CycleAsync(15);

    [Fact(Timeout = 3_600_000)]
    [Trait("Suite", "Long")]
    public Task AThousandCycles_LeakNothing() => CycleAsync(1000);

    private static async Task CycleAsync(int cycles)
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "m": { "Kind": "simulator", "Load": "on-demand" } } }""", Ct);
        await TurnAsync(gateway, 5);
        var before = await CountAsync(gateway);
        await TurnAsync(gateway, cycles);
        var after = await CountAsync(gateway);
        Assert.Equal(before.Series, after.Series);
        Assert.InRange(after.Files, 0, before.Files + 8);
        Assert.InRange(after.Threads, 0, before.Threads + 8);
        Assert.Equal(0, after.Children);
        TestContext.Current.TestOutputHelper?.WriteLine($"{cycles} cycles: {before} -> {after}");
    }

    private static async Task TurnAsync(GatewayProcess gateway, int cycles)
    {
        for (var i = 0; i < cycles; i++)
        {
            foreach (var order in new[] { "load", "unload" })
            {
                using var answer = await gateway.Management.PostAsync(new Uri($"api/models/m/{order}?wait=true", UriKind.Relative), null, Ct);
                Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(Ct));
            }
        }
    }

    private static async Task<(int Series, int Files, int Threads, int Children)> CountAsync(GatewayProcess gateway)
    {
        var metrics = await gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct);
        var own = gateway.Process.Id.ToString(CultureInfo.InvariantCulture);
        return (
            metrics.Split('\n').Count(line => line.Contains("=\"m\"", StringComparison.Ordinal) || line.Contains("=\"m/", StringComparison.Ordinal)), // others come when their kind is first seen
            OpenFiles.Count(own),
            Directory.GetDirectories($"/proc/{own}/task").Length,
            gateway.Descendants().Count);
    }
}
