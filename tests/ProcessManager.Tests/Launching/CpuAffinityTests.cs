using System.Collections.Immutable;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class CpuAffinityTests
{
    private static readonly ImmutableArray<int> Cores = [0, 4, 1, 5];

    [Fact]
    public void Pin_NotAskedFor_PutsNothingBefore() => Assert.Equal(([], null), Preflight.Pin(Options(false), 0, Cores, "/nowhere"));

    [Fact]
    public void Pin_SecondModel_HasItsCoresBehindTheFirstOnes()
    {
        var tools = Directory.CreateTempSubdirectory("llmgw-path-").FullName;
        try
        {
            using var server = new ScriptServer();
            File.Copy(server.Program, Path.Combine(tools, CoreShare.Program)); // any program of that name
            var (before, problem) = Preflight.Pin(Options(true) with { ReplicasBefore = 1, LocalReplicas = 2 }, 0, Cores, tools);
            Assert.Null(problem);
            Assert.Equal([Path.Combine(tools, CoreShare.Program), "-c", "1,5"], before);
        }
        finally
        {
            Directory.Delete(tools, recursive: true);
        }
    }

    [Fact]
    public void Pin_NoTasksetOrNoCores_IsAPermanentProblemWithItsCure()
    {
        Assert.Equal(ExitCause.PermanentConfig, Preflight.Pin(Options(true), 0, Cores, "/nowhere").Problem!.Cause);
        Assert.Contains("util-linux", Preflight.Pin(Options(true), 0, Cores, "/nowhere").Problem!.Message, StringComparison.Ordinal);
        Assert.NotNull(Preflight.Pin(Options(true), 0, [], Environment.GetEnvironmentVariable("PATH")).Problem);
    }

    [Fact]
    [Trait("Suite", "Integration")]
    public async Task Start_WithAffinity_EachProcessRunsOnItsShare()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "an option for Linux");
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options() with { Replicas = 2, LocalReplicas = 2, CpuAffinity = true });
        test.Set.Start();
        for (var index = 0; index < 2; index++)
        {
            var at = index;
            var ready = await test.UntilAsync(status => status.Index == at && status.State is ReplicaState.Ready);
            var expected = CoreShare.Of(CoreShare.Allowed(), at, 2).Split(',').Select(int.Parse).Order();
            Assert.Equal(expected, CoreShare.Allowed(ProcFs.Text($"/proc/{ready.Pid}/status"), "/nowhere").Order());
        }
    }

    private static ReplicaSetOptions Options(bool affinity) => new() { Model = "m", Kind = ReplicaKind.LlamaServer, Executable = "x", CpuAffinity = affinity };
}
