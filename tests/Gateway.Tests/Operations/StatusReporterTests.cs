using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.Gateway.Tests.Forwarding;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Operations;

public sealed class StatusReporterTests
{
    [Fact]
    public async Task Report_OfAHundredBackends_ListsThemAll()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System);
        for (var i = 0; i < 100; i++)
        {
            gateway.Add(BackendAddress.Tcp("127.0.0.1", 9), i, slots: 4);
        }

        Assert.Equal(100, gateway.Reporter.Report().Models.Single().Replicas.Length);
    }

    [Fact]
    public async Task Report_OfOneBackend_IsTheSameWithAllThereIs()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System);
        gateway.Add(BackendAddress.Tcp("127.0.0.1", 9), slots: 4);
        Assert.Equal(("m/0", "ready", 4), (gateway.Reporter.Report("m", 0)!.Backend, gateway.Reporter.Report("m", 0)!.State, gateway.Reporter.Report("m", 0)!.Slots.Total));
        Assert.Null(gateway.Reporter.Report("m", 1));
        Assert.Null(gateway.Reporter.Report("nope", 0));
    }

    [Fact]
    public async Task Report_OfAProcessThatIsIdle_SaysForHowLongAndWhenItIsOverdue()
    {
        var time = new FakeTimeProvider();
        await using var gateway = await GatewayUnderTest.StartAsync(time, model => model with { IdleTimeout = TimeSpan.FromMinutes(5) });
        var replica = new ReplicaStatus { Model = "m", Index = 0, State = ReplicaState.Ready, Pid = 7, StartedAt = time.GetUtcNow() };
        gateway.Registry.Report("m", new BackendEntry("m/0", BackendCondition.Ready, Servers.Backend(), 4, replica, null));
        time.Advance(TimeSpan.FromMinutes(6));
        Assert.Equal((360, false), (gateway.Reporter.Report("m", 0)!.IdleSeconds, gateway.Reporter.Report("m", 0)!.Overdue));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(gateway.Reporter.Report("m", 0)!.Overdue);

        gateway.Registry.Report("m", new BackendEntry("m/0", BackendCondition.Stopped, null, 0, replica with { State = ReplicaState.Stopped, Pid = null }, "It is stopped."));
        Assert.Equal((null, false), (gateway.Reporter.Report("m", 0)!.IdleSeconds, gateway.Reporter.Report("m", 0)!.Overdue));
    }
}
