using System.Diagnostics;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Replicas;

public sealed class ReplicaSetApplyTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Apply_SameRevision_TouchesNothingAndScales()
    {
        using var server = new ScriptServer();
        var options = server.Options() with { Replicas = 2, Revision = "1" };
        await using var test = new ReplicaSetUnderTest(options);
        await UpAsync(test, 2);
        var first = test.Set.Statuses[0].Pid;
        var second = test.Set.Statuses[1].Pid!.Value;

        Assert.Null(await test.Set.ApplyAsync(options with { Replicas = 1 }, Ct));
        Assert.Equal([first], test.Set.Statuses.Select(status => status.Pid));
        Assert.Empty(ProcFs.Group(second));

        Assert.Null(await test.Set.ApplyAsync(options with { Replicas = 3 }, Ct));
        await test.UntilAsync(status => status is { Index: 2, State: ReplicaState.Ready });
        Assert.Equal(first, test.Set.Statuses[0].Pid);
        Assert.Throws<ArgumentOutOfRangeException>(() => test.Set.LogTail(3, 1));
    }

    [Fact]
    public async Task Apply_OtherRevision_ReplacesOneAfterAnother()
    {
        using var server = new ScriptServer();
        var options = server.Options() with { Replicas = 2, Revision = "1" };
        await using var test = new ReplicaSetUnderTest(options);
        await UpAsync(test, 2);
        int?[] before = [.. test.Set.Statuses.Select(status => status.Pid)];
        var fewest = int.MaxValue;
        test.Set.StatusChanged += _ => fewest = Math.Min(fewest, test.Set.Statuses.Count(status => status.IsRoutable));

        Assert.Null(await test.Set.ApplyAsync(options with { Revision = "2", Slots = 7 }, Ct));

        Assert.Equal(1, fewest);
        Assert.All(test.Set.Statuses, status => Assert.Equal((true, 7), (status.IsRoutable, status.Slots)));
        Assert.Empty(before.Intersect(test.Set.Statuses.Select(status => status.Pid)));
    }

    [Fact]
    public async Task Apply_NewOneDoesNotComeUp_TheOthersKeepWhatTheyHad()
    {
        using var server = new ScriptServer();
        var options = server.Options() with { Replicas = 2, Revision = "1" };
        await using var test = new ReplicaSetUnderTest(options);
        await UpAsync(test, 2);
        var second = test.Set.Statuses[1].Pid;

        var stranded = await test.Set.ApplyAsync(options with { Revision = "2", Executable = "/nowhere/server" }, Ct);
        Assert.Equal((0, ReplicaState.Failed), (stranded!.Index, stranded.State));
        Assert.Equal((second, true), (test.Set.Statuses[1].Pid, test.Set.Statuses[1].IsRoutable));

        // Back to what worked.
        Assert.Null(await test.Set.ApplyAsync(options, Ct));
        Assert.Equal((second, true), (test.Set.Statuses[1].Pid, test.Set.Statuses[0].IsRoutable));
    }

    [Fact]
    public async Task Apply_OvertakenWhileDraining_TheNextOneGoesOnFromThere()
    {
        using var server = new ScriptServer();
        var traffic = new FakeTraffic(busy: true);
        var options = server.Options() with { Revision = "1" };
        await using var test = new ReplicaSetUnderTest(options, traffic);
        await UpAsync(test, 1);

        using var overtaken = new CancellationTokenSource();
        var first = test.Set.ApplyAsync(options with { Revision = "2" }, overtaken.Token);
        await test.UntilAsync(ReplicaState.Draining);
        await overtaken.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);

        // The old revision is wanted again: its process is still there and goes on.
        var pid = test.Set.Statuses[0].Pid;
        Assert.Null(await test.Set.ApplyAsync(options, Ct));
        await test.UntilAsync(ReplicaState.Ready);
        Assert.Equal(pid, test.Set.Statuses[0].Pid);
    }

    [Theory]
    [InlineData("2", 2)]
    [InlineData("1", 1)]
    public async Task Apply_ShorterDrain_HoldsForWhatItEnds(string revision, int replicas)
    {
        using var server = new ScriptServer();
        var options = server.Options() with { Replicas = 2, Revision = "1", DrainTimeout = TimeSpan.FromHours(1) };
        await using var test = new ReplicaSetUnderTest(options, new FakeTraffic(busy: true));
        await UpAsync(test, 2);
        var old = test.Set.Statuses[1].Pid!.Value;

        Assert.Null(await test.Set.ApplyAsync(options with { Revision = revision, Replicas = replicas, DrainTimeout = TimeSpan.FromMilliseconds(50) }, Ct));
        Assert.Empty(ProcFs.Group(old));
    }

    [Fact]
    public async Task Apply_SameRevisionWithAnotherShare_HoldsForTheNextLaunch()
    {
        using var server = new ScriptServer();
        var options = server.Options(ReplicaKind.LlamaServer) with { Revision = "1", CacheRamMiB = 100 };
        await using var test = new ReplicaSetUnderTest(options);
        await UpAsync(test, 1);
        var first = test.Set.Statuses[0].Pid!.Value;

        Assert.Null(await test.Set.ApplyAsync(options with { CacheRamMiB = 200 }, Ct));
        Assert.Equal(first, test.Set.Statuses[0].Pid);
        Assert.Contains("--cache-ram\0100\0", await File.ReadAllTextAsync($"/proc/{first}/cmdline", Ct), StringComparison.Ordinal);

        Process.GetProcessById(first).Kill();
        var next = await test.UntilAsync(status => status is { State: ReplicaState.Ready, Generation: 2 });
        Assert.Contains("--cache-ram\0200\0", await File.ReadAllTextAsync($"/proc/{next.Pid}/cmdline", Ct), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Apply_NotStartedOrStoppedByAnOperator_StaysDown()
    {
        using var server = new ScriptServer();
        var options = server.Options() with { Replicas = 2, Revision = "1" };
        await using var test = new ReplicaSetUnderTest(options);
        Assert.Null(await test.Set.ApplyAsync(options with { Revision = "2" }, Ct));
        Assert.All(test.Set.Statuses, status => Assert.Equal(ReplicaState.Stopped, status.State));

        await UpAsync(test, 2);
        await test.Set.CommandAsync(1, ReplicaVerb.Stop, Ct);
        Assert.Null(await test.Set.ApplyAsync(options with { Revision = "3" }, Ct));
        Assert.Equal([ReplicaState.Ready, ReplicaState.Stopped], test.Set.Statuses.Select(status => status.State));
    }

    private static async Task UpAsync(ReplicaSetUnderTest test, int replicas)
    {
        test.Set.Start();
        for (var i = 0; i < replicas; i++)
        {
            await test.UntilAsync(status => status.Index == i && status.State is ReplicaState.Ready);
        }
    }
}
