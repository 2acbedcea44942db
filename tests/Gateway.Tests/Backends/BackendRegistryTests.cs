using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Tests.Backends;

public sealed class BackendRegistryTests
{
    private readonly BackendRegistry _registry = new();
    private readonly List<BackendSnapshot> _changes = [];

    public BackendRegistryTests()
    {
        _registry.Add("m");
        _registry.Add("other");
        _registry.Changed += _changes.Add;
    }

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public void Report_NewAndChangedEntries_ArePublishedInPlace()
    {
        var (a, b) = (Servers.Backend(0), Servers.Backend(1));
        _registry.Report("m", Servers.Entry(a, 2));
        _registry.Report("m", Servers.Entry(b, 2));
        _registry.Report("m", Servers.Entry(a, 2, BackendCondition.Coming));
        Assert.Equal(3, _changes.Count);
        Assert.Equal(["m/0", "m/1"], _registry.Snapshot("m").Entries.Select(entry => entry.Name));
        Assert.Equal(BackendCondition.Coming, _registry.Snapshot("m").Entries[0].Condition);
        Assert.True(_registry.Snapshot("m").AnyReady);
        Assert.False(a.Gone.IsCancellationRequested);
        Assert.Empty(_registry.Snapshot("other").Entries);
    }

    [Fact]
    public void Report_SameEntry_IsNoNews()
    {
        var entry = Servers.Entry(Servers.Backend(), 2);
        _registry.Report("m", entry);
        _registry.Report("m", entry with { });
        Assert.Single(_changes);
    }

    [Fact]
    public async Task Report_BackendIsReplaced_TheOldOneIsGoneAfterTheSnapshotHasChanged()
    {
        var old = Servers.Backend();
        _registry.Report("m", Servers.Entry(old, 2));
        var seen = new TaskCompletionSource<Backend?>();
        using var registration = old.Gone.Register(() => seen.SetResult(_registry.Snapshot("m").Entries[0].Backend));
        var next = Servers.Backend(generation: 1);
        _registry.Report("m", Servers.Entry(next, 2));
        Assert.Same(next, await seen.Task.WaitAsync(Ct));
        Assert.Null(_registry.Find("m/0", 0));
        Assert.Same(next, _registry.Find("m/0", 1));
    }

    [Theory]
    [InlineData(ExitCause.Crash, true)]
    [InlineData(ExitCause.Oom, true)]
    [InlineData(ExitCause.UnexpectedExit, true)]
    [InlineData(ExitCause.ExternalKill, false)]
    [InlineData(ExitCause.Requested, false)]
    [InlineData(ExitCause.Hung, false)]
    public void CrashedByItself_ProcessHasEnded_ByItsCause(ExitCause cause, bool crashed)
    {
        var backend = Servers.Backend();
        _registry.Report("m", Servers.Entry(backend, 2));
        _registry.Report("m", Servers.None(BackendCondition.Coming) with { Replica = Ended(cause) });
        Assert.Equal(crashed, _registry.CrashedByItself(backend));
    }

    [Fact]
    public void CrashedByItself_ConnectionsOfALivingProcessAreDropped_TheCrashBeforeItIsNotItsOwn()
    {
        var backend = Servers.Backend(generation: 2);
        _registry.Report("m", Servers.Entry(backend, 2) with { Replica = Ended(ExitCause.Crash) });
        backend.MarkGone();
        Assert.False(_registry.CrashedByItself(backend));
    }

    private static ReplicaStatus Ended(ExitCause cause) => new() { Model = "m", Index = 0, LastExit = new ExitReport(1, null, cause, "", DateTimeOffset.UnixEpoch, []) };

    [Fact]
    public void Best_OfNoneOrMany_IsTheMostHopeful()
    {
        Assert.Equal(BackendCondition.Stopped, Servers.Snapshot().Best);
        Assert.Equal(BackendCondition.Coming, Servers.Snapshot(Servers.None(BackendCondition.Failed), Servers.None(BackendCondition.Coming, 1)).Best);
    }
}
