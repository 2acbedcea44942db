using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Probes.Tests;

public sealed class ExecProbeTests
{
    private static readonly BackendAddress Anywhere = BackendAddress.Tcp("127.0.0.1", 1);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("exit 0", ProbeOutcome.Pass, ProbeReason.None, 0)]
    [InlineData("exit 3", ProbeOutcome.Fail, ProbeReason.ExitCode, 3)]
    [InlineData("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", ProbeOutcome.Pass, ProbeReason.None, 0)]
    [InlineData("read line; exit 4", ProbeOutcome.Fail, ProbeReason.ExitCode, 4)]
    public async Task Check_Command_IsJudgedByItsExitCode(string script, ProbeOutcome outcome, ProbeReason reason, int code)
    {
        using var probe = Exec(TimeProvider.System, "/bin/sh", "-c", script);
        var result = await probe.CheckAsync(Ct);
        Assert.Equal((outcome, reason, (int?)code), (result.Outcome, result.Reason, result.Code));
    }

    [Fact]
    public async Task Check_NoShell_ArgumentsAreTakenLiterally()
    {
        using var probe = Exec(TimeProvider.System, "/bin/sh", "-c", "test \"$1\" = '$HOME; exit 9'", "sh", "$HOME; exit 9");
        Assert.Equal(ProbeOutcome.Pass, (await probe.CheckAsync(Ct)).Outcome);
    }

    [Fact]
    public async Task Check_NoSuchProgram_CannotStart()
    {
        using var probe = Exec(TimeProvider.System, "/no/such/program");
        Assert.Equal(ProbeReason.CannotStart, (await probe.CheckAsync(Ct)).Reason);
    }

    [Fact]
    public void Create_NoCommand_IsRefused() => Assert.Throws<ArgumentException>(() => Exec(TimeProvider.System));

    [Fact]
    public async Task Check_Timeout_KillsTheWholeGroup()
    {
        // Parent and child each hold a connection: both must see their end.
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var time = new FakeTimeProvider();
        using var probe = Exec(time, "perl", "-MIO::Socket::INET", "-e", $"fork; my $s = IO::Socket::INET->new('127.0.0.1:{port}'); sleep 1000");

        var check = probe.CheckAsync(Ct);
        using var one = await listener.AcceptTcpClientAsync(Ct);
        using var two = await listener.AcceptTcpClientAsync(Ct);
        time.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(ProbeReason.Timeout, (await check).Reason);
        Assert.Equal(0, await one.GetStream().ReadAsync(new byte[1], Ct));
        Assert.Equal(0, await two.GetStream().ReadAsync(new byte[1], Ct));
    }

    private static Probe Exec(TimeProvider time, params string[] command) =>
        Probe.Create(new() { Kind = ProbeKind.Exec, Command = command, Timeout = TimeSpan.FromSeconds(5) }, Anywhere, null, time);
}
