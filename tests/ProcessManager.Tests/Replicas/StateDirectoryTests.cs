using System.Diagnostics;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Replicas;

public sealed class StateDirectoryTests
{
    [Fact]
    [Trait("Suite", "Integration")]
    public async Task Fault40_StateDirectoryIsGoneForAWhile_CostsTheReplicaNothingAndItComesBack()
    {
        var folder = Directory.CreateTempSubdirectory("llmgw-state-").FullName;
        var (state, away) = (Path.Combine(folder, "state"), Path.Combine(folder, "away"));
        Directory.CreateDirectory(state);
        try
        {
            using var server = new ScriptServer();
            await using var test = new ReplicaSetUnderTest(
                server.Options() with { Restart = new() { InitialBackoff = TimeSpan.FromMilliseconds(20), MaxRestarts = 2 } }, manager: new() { StateDirectory = state });
            test.Set.Start();
            var first = await test.UntilAsync(ReplicaState.Ready);

            Directory.Move(state, away);
            Process.GetProcessById(first.Pid!.Value).Kill();
            var refused = await test.UntilAsync(status => status is { Generation: > 4, State: ReplicaState.Backoff }); // more often than the budget allows
            Assert.Equal(ExitCause.PermanentConfig, refused.LastExit!.Cause);
            Assert.Contains("state file", refused.NotRoutableBecause, StringComparison.Ordinal);
            Assert.Equal(1, refused.RestartsInWindow); // the kill

            Directory.Move(away, state);
            await test.UntilAsync(status => status.State is ReplicaState.Ready && status.Pid != first.Pid);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
