using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>What the processes use, as a scrape sees it.</summary>
public sealed class ProcessSampleTests
{
    private const string Memory = "llmgateway_process_resident_memory_bytes";
    private const string Cpu = "llmgateway_process_cpu_seconds_total";

    private static readonly (string, string) Replica = ("backend", "demo/0");

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 90_000)]
    public async Task Metrics_RunningReplica_AreTheKernelsNumbersOfItsPresentProcess()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "demo": { "Kind": "simulator", "Restart": { "InitialBackoff": "100ms" } } } }""", Ct);
        var first = (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid!.Value;

        var resident = await UntilAsync(gateway, Memory, value => value > 0);
        Assert.InRange(resident, Resident(first) * 0.7, Resident(first) * 1.3);
        await UntilAsync(gateway, Cpu, value => value > 0);
        Assert.True(await gateway.MetricAsync("llmgateway_host_memory_available_bytes", Ct) > 0);
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_gpu_utilization_ratio", Ct)); // absent, on a machine without one

        System.Diagnostics.Process.GetProcessById(first).Kill();
        await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != first, "the replica to be back", Ct);
        await UntilAsync(gateway, Memory, value => value > 0);
    }

    private static Task<double> UntilAsync(GatewayProcess gateway, string metric, Func<double, bool> condition) =>
        Eventually.GetAsync(() => gateway.MetricAsync(metric, Ct, Replica), condition, metric, Ct, TimeSpan.FromSeconds(20));

    private static double Resident(int pid) => 1024 * double.Parse(
        File.ReadLines($"/proc/{pid}/status").First(line => line.StartsWith("VmRSS", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2].Trim(),
        System.Globalization.CultureInfo.InvariantCulture);
}
