using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Backends;

public sealed class BackendEventsTests : IDisposable
{
    private readonly BackendRegistry _registry = new();
    private readonly EventFeed _feed = new(new FakeTimeProvider());
    private readonly BackendEvents _events;

    public BackendEventsTests()
    {
        _registry.Add("m");
        _registry.Add("m/x");
        _events = new BackendEvents(_registry, _feed);
    }

    public void Dispose() => _events.Dispose();

    [Fact]
    public void Changed_AcrossACrash_TellsStateExitAndRestart()
    {
        Report(new() { Model = "m", Index = 0, State = ReplicaState.Ready, Pid = 7, Slots = 4 });
        var exit = new ExitReport(null, 9, ExitCause.ExternalKill, "Find out who.", default, []);
        Report(new() { Model = "m", Index = 0, State = ReplicaState.Backoff, LastExit = exit, NotRoutableBecause = "Its process ended." });
        Report(new() { Model = "m", Index = 0, State = ReplicaState.Starting, LastExit = exit, Generation = 1, Restarts = 1, RestartsInWindow = 1 });

        Assert.Equal(
            [EventKind.State, EventKind.Exit, EventKind.State, EventKind.Restart, EventKind.State],
            _feed.Last(9).Select(one => one.Kind));
        Assert.Contains("external_kill, signal 9", _feed.Last(9)[1].Message, StringComparison.Ordinal);
        Assert.Equal(("ready", "backoff"), (_feed.Last(9)[2].From, _feed.Last(9)[2].To));
        Assert.All(_feed.Last(9), one => Assert.Equal("m/0", one.Subject));
    }

    [Fact]
    public void Changed_WithoutNews_TellsNothing()
    {
        var status = new ReplicaStatus { Model = "m", Index = 0, State = ReplicaState.Ready };
        Report(status);
        Report(status with { Slots = 5 });
        Assert.Single(_feed.Last(9));
    }

    [Theory]
    [InlineData(ExitCause.Crash, true)]
    [InlineData(ExitCause.ModelInvalid, false)]
    public void Changed_ToFailed_IsALimitUnlessTheCauseIsPermanent(ExitCause cause, bool isLimit)
    {
        Report(new() { Model = "m", Index = 0, State = ReplicaState.Failed, LastExit = new ExitReport(1, null, cause, "Look.", default, []) });
        Assert.Equal(isLimit ? EventKind.Limit : EventKind.State, _feed.Last(1)[0].Kind);
        Assert.Equal(EventLevel.Error, _feed.Last(1)[0].Level);
    }

    [Fact]
    public void Changed_Remote_TellsWhenItTakesWorkAndWhenNot()
    {
        var backend = Servers.Backend();
        _registry.Report("m", Servers.Entry(backend, 2, BackendCondition.Coming));
        _registry.Report("m", Servers.Entry(backend, 2));
        _registry.Report("m", Servers.Entry(backend, 2, BackendCondition.Coming));
        Assert.Equal([EventLevel.Info, EventLevel.Info, EventLevel.Warning], _feed.Last(9).Select(one => one.Level));
        Assert.Equal([null, "not_ready", "ready"], _feed.Last(9).Select(one => one.From));
    }

    private void Report(ReplicaStatus status) =>
        _registry.Report("m", new BackendEntry(status.Backend, BackendCondition.Coming, null, status.Slots, status, status.NotRoutableBecause));
}
