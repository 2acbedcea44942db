using LlmGateway.Probes.Tests.Fakes;

namespace LlmGateway.Probes.Tests;

public sealed class TcpProbeTests
{
    private static readonly ProbeOptions Tcp = new() { Kind = ProbeKind.Tcp, Timeout = TimeSpan.FromSeconds(20) };

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Check_SomebodyListens_Passes()
    {
        await using var server = await StubServer.StartAsync(500);
        using var probe = Probe.Create(Tcp, server.Address, null, TimeProvider.System);
        Assert.Equal((ProbeOutcome.Pass, true), ((await probe.CheckAsync(Ct)).Outcome, (await probe.CheckAsync(Ct)).PortIsOpen));
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task Check_NobodyListens_IsRefused()
    {
        using var probe = Probe.Create(Tcp, BackendAddress.Tcp("127.0.0.1", HttpProbeTests.ClosedPort()), null, TimeProvider.System);
        Assert.Equal(ProbeReason.Refused, (await probe.CheckAsync(Ct)).Reason);
    }

    [Fact]
    public async Task Check_UnixSocket_Passes()
    {
        var folder = Directory.CreateTempSubdirectory("llmgw-test-");
        await using var server = await StubServer.StartAsync(_ => Task.CompletedTask, Path.Combine(folder.FullName, "x.sock"));
        using var probe = Probe.Create(Tcp, server.Address, null, TimeProvider.System);
        Assert.Equal(ProbeOutcome.Pass, (await probe.CheckAsync(Ct)).Outcome);
    }

    [Fact]
    public void Create_Progress_IsNotAQuestion() =>
        Assert.Throws<ArgumentException>(() => Probe.Create(new() { Kind = ProbeKind.Progress }, BackendAddress.Tcp("127.0.0.1", 1), null, TimeProvider.System));
}
