using System.Diagnostics;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Replicas;

public sealed class ReplicaSetTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Start_ServerComesUp_IsReadyWithItsOwnSlotsAndStopsWithoutRest()
    {
        using var server = new ScriptServer();
        server.Set("loading");
        await using var test = new ReplicaSetUnderTest(server.Options() with { Replicas = 2, Slots = 3 });

        test.Set.Start();
        await test.UntilAsync(status => status is { Index: 1, State: ReplicaState.Loading });
        server.Clear("loading");
        var first = await test.UntilAsync(status => status is { Index: 0, State: ReplicaState.Ready });
        var second = await test.UntilAsync(status => status is { Index: 1, State: ReplicaState.Ready });

        Assert.Equal(3, first.Slots);
        Assert.True(first.IsRoutable);
        Assert.NotEqual(first.Address, second.Address);
        Assert.Equal(64, first.ApiKey?.Length);
        Assert.NotEqual(first.ApiKey, second.ApiKey);
        Assert.DoesNotContain(test.Set.LogTail(0, 100).Concat(test.Loggers.Lines), line => line.Contains(first.ApiKey!, StringComparison.Ordinal));

        await test.Set.StopAsync(Ct);
        Assert.All(test.Set.Statuses, status => Assert.Equal((ReplicaState.Stopped, null, 0), (status.State, status.Pid, status.Slots)));
        Assert.Empty(ProcFs.Group(first.Pid!.Value));
        Assert.Empty(ProcFs.Group(second.Pid!.Value));
    }

    [Fact]
    public async Task Crash_LeavesReadyFirstAndComesBackAsNextGeneration()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var first = await test.UntilAsync(ReplicaState.Ready);

        Process.GetProcessById(first.Pid!.Value).Kill();
        var back = await test.UntilAsync(status => status is { State: ReplicaState.Ready, Generation: 2 });

        Assert.Equal((9, ExitCause.ExternalKill), (back.LastExit!.Signal, back.LastExit.Cause));
        Assert.Equal((1, 1), (back.Restarts, back.RestartsInWindow));
        Assert.NotEqual(first.ApiKey, back.ApiKey);
        Assert.Equal(
            [ReplicaState.Ready, ReplicaState.Killing, ReplicaState.Backoff, ReplicaState.Queued],
            test.States.SkipWhile(state => state is not ReplicaState.Ready).Distinct().Take(4));
    }
}
