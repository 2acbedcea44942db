using System.Diagnostics;
using System.Globalization;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;
using LlmGateway.TestKit.Processes;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace LlmGateway.ProcessManager.Tests.Replicas;

/// <summary>Starting and stopping again and again, with real processes that listen: nothing may be left of it.</summary>
[Trait("Suite", "Integration")]
[Collection(nameof(EnduranceTests))]
[CollectionDefinition(nameof(EnduranceTests), DisableParallelization = true)] // it counts what its own process holds
public sealed class EnduranceTests : IDisposable
{
    private const int Ports = 20;
    private const int Replicas = 8;
    private readonly string _state = Directory.CreateTempSubdirectory("llmgw-endure-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact]
    public Task Cycles_TwoHundredInTwentyPorts_LeaveNothing() => CycleAsync(200);

    [Fact]
    [Trait("Suite", "Long")]
    public Task Cycles_TenThousandInTwentyPorts_LeaveNothing() => CycleAsync(10_000);

    private async Task CycleAsync(int starts)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux tells what is left");
        using var server = new ScriptServer();
        var first = 31_000 + (Environment.ProcessId % 50 * Ports);
        var options = server.Options() with { Replicas = Replicas, FirstPort = first, LastPort = first + Ports - 1 };
        var manager = new ProcessManagerOptions { StateDirectory = _state, StartPermits = 4 };
        using var samples = new ResourceSampler(
            Options.Create(manager), new LinuxProcessReader(), new HostReader(), gpus: null, meters: null, TimeProvider.System, NullLogger<ResourceSampler>.Instance);
        await using var test = new ReplicaSetUnderTest(options, manager: manager, samples: samples.Start());

        await CycleAsync(test, 5);
        var (before, clock) = (Left(), Stopwatch.StartNew());
        var rounds = starts / Replicas;
        await CycleAsync(test, rounds);
        var after = Left();

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{rounds * Replicas} starts in {clock.Elapsed.TotalSeconds:0} s on {Ports} ports: before {before}, after {after}");
        Assert.Equal(0, after.Zombies);
        Assert.InRange(after.Descriptors, 0, before.Descriptors + 8);
        Assert.InRange(after.Threads, 0, before.Threads + 16); // the pool's own comings and goings
        Assert.InRange(after.HeapBytes, 0, before.HeapBytes + (16 << 20));
        Assert.Empty(samples.Current.Processes);
        Assert.All(Enumerable.Range(first, Ports), port => Assert.True(new PortPool(TimeProvider.System).Rent(port, port) == port, $"port {port} is still in use"));
    }

    private static async Task CycleAsync(ReplicaSetUnderTest test, int rounds)
    {
        for (var round = 0; round < rounds; round++)
        {
            test.Set.Start();
            for (var index = 0; index < Replicas; index++)
            {
                var at = index;
                await test.UntilAsync(status => status.Index == at && status.State is ReplicaState.Ready);
            }

            await test.Set.StopAsync(TestContext.Current.CancellationToken);
            test.Forget();
        }
    }

    private static Remains Left()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        var own = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        var zombies = Directory.EnumerateDirectories("/proc")
            .Where(folder => char.IsAsciiDigit(folder[^1]))
            .Count(folder => ProcFs.Text(folder + "/stat") is var stat && stat.Contains($") Z {own} ", StringComparison.Ordinal));
        return new(
            OpenFiles.Count("self"),
            (int)ProcText.Number(ProcFs.Text("/proc/self/status"), "Threads:")!.Value,
            zombies,
            GC.GetTotalMemory(forceFullCollection: true));
    }

    private sealed record Remains(int Descriptors, int Threads, int Zombies, long HeapBytes);
}
