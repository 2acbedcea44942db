using System.Net;
using System.Net.Sockets;
using System.Text;
using LlmGateway.Probes.Tests.Fakes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Probes.Tests;

public sealed class HttpProbeTests
{
    private static readonly ProbeOptions Patient = new() { Timeout = TimeSpan.FromSeconds(20) };

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(200, "{\"status\":\"ok\"}", ProbeOutcome.Pass, ProbeReason.None)]
    [InlineData(204, "", ProbeOutcome.Pass, ProbeReason.None)]
    [InlineData(307, "", ProbeOutcome.Pass, ProbeReason.None)]
    [InlineData(400, "", ProbeOutcome.Fail, ProbeReason.Status)]
    [InlineData(503, "{\"error\":{\"message\":\"Loading model\",\"type\":\"unavailable_error\",\"code\":503}}", ProbeOutcome.Loading, ProbeReason.Status)]
    [InlineData(503, "no slot available", ProbeOutcome.Fail, ProbeReason.Status)]
    public async Task Check_Answer_TellsOutcomeAndThatThePortIsOpen(int status, string body, ProbeOutcome outcome, ProbeReason reason)
    {
        await using var server = await StubServer.StartAsync(context =>
        {
            context.Response.StatusCode = status;
            context.Response.Headers.Location = status == 307 ? "/elsewhere" : default;
            return body.Length > 0 ? context.Response.WriteAsync(body) : Task.CompletedTask;
        });
        using var probe = Probe.Create(Patient, server.Address, null, TimeProvider.System);

        var result = await probe.CheckAsync(Ct);

        Assert.Equal((outcome, reason, (int?)status, true), (result.Outcome, result.Reason, result.Code, result.PortIsOpen));
        Assert.Equal("/health", Assert.Single(server.Requests).Path); // one request: no redirect followed, no retry
    }

    [Fact]
    public async Task Check_NobodyListens_IsRefused()
    {
        using var probe = Probe.Create(Patient, BackendAddress.Tcp("127.0.0.1", ClosedPort()), null, TimeProvider.System);
        var result = await probe.CheckAsync(Ct);
        Assert.Equal((ProbeOutcome.Fail, ProbeReason.Refused, false), (result.Outcome, result.Reason, result.PortIsOpen));
    }

    [Fact]
    public async Task Check_SocketFileIsGone_IsRefused()
    {
        using var probe = Probe.Create(Patient, BackendAddress.Unix("/tmp/no-such-llmgw.sock"), null, TimeProvider.System);
        Assert.Equal(ProbeReason.Refused, (await probe.CheckAsync(Ct)).Reason);
    }

    [Theory]
    [InlineData("", ProbeReason.Reset)]
    [InlineData("SSH-2.0-OpenSSH_9\r\n", ProbeReason.Protocol)]
    public async Task Check_AnswerIsNotHttp_TellsHow(string said, ProbeReason reason)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var answer = Task.Run(async () =>
        {
            using var client = await listener.AcceptTcpClientAsync(Ct);
            var stream = client.GetStream();
            _ = await stream.ReadAsync(new byte[4096], Ct);
            await stream.WriteAsync(Encoding.ASCII.GetBytes(said), Ct);
        }, Ct);
        using var probe = Probe.Create(Patient, BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port), null, TimeProvider.System);

        Assert.Equal(reason, (await probe.CheckAsync(Ct)).Reason);
        await answer;
    }

    [Fact]
    public async Task Check_NoAnswer_TimesOutOnTheGivenClock()
    {
        var arrived = new TaskCompletionSource();
        await using var server = await StubServer.StartAsync(async context =>
        {
            arrived.SetResult();
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        });
        var time = new FakeTimeProvider();
        using var probe = Probe.Create(new() { Timeout = TimeSpan.FromSeconds(7) }, server.Address, null, time);

        var check = probe.CheckAsync(Ct);
        await arrived.Task.WaitAsync(Ct);
        time.Advance(TimeSpan.FromSeconds(7));

        var result = await check;
        Assert.Equal((ProbeReason.Timeout, TimeSpan.FromSeconds(7), false), (result.Reason, result.Elapsed, result.PortIsOpen));
        Assert.Equal("no answer within 7.0 s", result.ToString());
    }

    [Fact]
    public async Task Check_Cancelled_Throws()
    {
        var arrived = new TaskCompletionSource();
        await using var server = await StubServer.StartAsync(async context =>
        {
            arrived.SetResult();
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        });
        using var probe = Probe.Create(Patient, server.Address, null, TimeProvider.System);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var check = probe.CheckAsync(stop.Token);
        await arrived.Task.WaitAsync(Ct);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => check);
    }

    [Fact]
    public async Task Check_UnixSocket_ReachesIt()
    {
        var folder = Directory.CreateTempSubdirectory("llmgw-test-");
        await using var server = await StubServer.StartAsync(context => context.Response.WriteAsync("ok"), Path.Combine(folder.FullName, "x.sock"));
        using var probe = Probe.Create(Patient, server.Address, null, TimeProvider.System);
        Assert.Equal(ProbeOutcome.Pass, (await probe.CheckAsync(Ct)).Outcome);
    }

    [Fact]
    public async Task Check_PathHeadersAndKey_AreSent()
    {
        await using var server = await StubServer.StartAsync(200);
        var options = Patient with { Path = "/a/b?c=1", Headers = new Dictionary<string, string> { ["X-Probe"] = "yes" } };
        using var probe = Probe.Create(options, server.Address, "secret", TimeProvider.System);
        await probe.CheckAsync(Ct);

        var (path, headers, _) = Assert.Single(server.Requests);
        Assert.Equal(("/a/b", "yes", "Bearer secret"), (path, headers["X-Probe"].ToString(), headers.Authorization.ToString()));
    }

    [Fact]
    public async Task Check_AnotherPort_GetsNoKey()
    {
        await using var server = await StubServer.StartAsync(200);
        using var probe = Probe.Create(Patient with { Port = server.Address.BaseUri.Port }, BackendAddress.Tcp("127.0.0.1", ClosedPort()), "secret", TimeProvider.System);
        Assert.Equal(ProbeOutcome.Pass, (await probe.CheckAsync(Ct)).Outcome);
        Assert.Empty(Assert.Single(server.Requests).Headers.Authorization.ToString());
    }

    [Fact]
    public async Task Check_AnotherScheme_IsSpokenAndGetsNoKey()
    {
        // Not a server that speaks it: what comes back is no answer.
        await using var server = await StubServer.StartAsync(200);
        using var probe = Probe.Create(Patient with { Scheme = "https" }, server.Address, "secret", TimeProvider.System);
        Assert.Equal(ProbeOutcome.Fail, (await probe.CheckAsync(Ct)).Outcome);
        Assert.Empty(server.Requests);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(2_000)]
    public async Task Check_EachTry_HasAConnectionOfItsOwn(int period)
    {
        await using var server = await StubServer.StartAsync(200, new string('x', 1000));
        using var probe = Probe.Create(Patient with { Period = TimeSpan.FromMilliseconds(period) }, server.Address, null, TimeProvider.System);
        await probe.CheckAsync(Ct);
        await probe.CheckAsync(Ct);
        Assert.Equal(2, server.Requests.Select(request => request.Connection).Distinct().Count());
    }

    [Fact]
    public async Task Check_ServerHangsUpAfterAGoodAnswer_IsAskedOnceMoreOnly()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var connections = 0;
        using var probe = Probe.Create(
            Patient with { Period = TimeSpan.FromMilliseconds(100) }, BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port), null, TimeProvider.System);
        var serving = ServeAsync();
        Assert.Equal(ProbeOutcome.Pass, (await probe.CheckAsync(Ct)).Outcome);
        Assert.Equal(ProbeOutcome.Fail, (await probe.CheckAsync(Ct)).Outcome);
        listener.Stop();
        await serving;
        Assert.Equal(2, connections);

        // The first request is answered and its connection kept; whatever comes next, on that connection or a new one, is hung up on.
        async Task ServeAsync()
        {
            try
            {
                while (true)
                {
                    var client = await listener.AcceptTcpClientAsync(Ct);
                    var number = ++connections;
                    _ = Task.Run(async () =>
                    {
                        using (client)
                        {
                            var stream = client.GetStream();
                            if (await stream.ReadAsync(new byte[4096], Ct) > 0 && number == 1)
                            {
                                await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"u8.ToArray(), Ct);
                                _ = await stream.ReadAsync(new byte[1], Ct);
                            }
                        }
                    });
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // The listener was stopped.
            }
        }
    }

    internal static int ClosedPort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
