using System.Globalization;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Tests.Supervision;

/// <summary>Random fault schedules against the pure core: see <see cref="ReplicaSimulation"/> for what must hold.</summary>
/// <remarks>A failure names its seed; <c>LLMGATEWAY_SCHEDULE_SEED</c> runs that one alone.</remarks>
public sealed class ReplicaScheduleTests(ITestOutputHelper output)
{
    private const string SeedVariable = "LLMGATEWAY_SCHEDULE_SEED";

    [Fact]
    public void Apply_HundredThousandFaultSchedules_KeepThePromises() => Run(100_000);

    [Fact]
    [Trait("Suite", "Long")]
    public void Apply_MillionFaultSchedules_KeepThePromises() => Run(1_000_000);

    [Fact]
    public void Simulation_FewRuns_VisitsEveryState()
    {
        var seen = new HashSet<ReplicaState>();
        for (var seed = 0; seed < 500; seed++)
        {
            var simulation = new ReplicaSimulation(seed);
            simulation.Run();
            seen.UnionWith(simulation.Seen);
        }

        Assert.Equal(Enum.GetValues<ReplicaState>(), seen.Order());
    }

    private void Run(int schedules)
    {
        if (Environment.GetEnvironmentVariable(SeedVariable) is { } only)
        {
            new ReplicaSimulation(int.Parse(only, CultureInfo.InvariantCulture)).Run();
            return;
        }

        // Another million each time: what holds must hold for all of them.
        var first = Random.Shared.Next(int.MaxValue - schedules);
        output.WriteLine($"seeds {first} to {first + schedules - 1}");
        Parallel.For(first, first + schedules, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, seed =>
        {
            try
            {
                new ReplicaSimulation(seed).Run();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Schedule {seed} broke a promise; replay it with {SeedVariable}={seed}. {e.Message}", e);
            }
        });
    }
}
