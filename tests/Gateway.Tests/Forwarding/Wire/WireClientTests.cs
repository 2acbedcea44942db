using System.Net;
using System.Net.Sockets;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Forwarding.Wire;
using LlmGateway.Probes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding.Wire;

public sealed class WireClientTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Ok, 1)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 1)]
    [InlineData("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + Ok, 1)]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 2)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}excess", 2)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nHTTP", 2)]
    public async Task Send_Twice_UsesAConnectionAgainOnlyWhenItIsInStep(string response, int connections)
    {
        var seen = 0;
        await using var stub = new StubBackend(exchange =>
        {
            Interlocked.Increment(ref seen);
            return exchange.WriteAsync(response);
        });
        using var counting = new CountingListener(stub.Address);
        using var client = new WireClient(counting.Address, Patience, _time);
        for (var i = 0; i < 2; i++)
        {
            using var answer = await AskAsync(client, counting.Address);
            Assert.Equal("{}", await TextAsync(answer));
        }

        Assert.Equal((2, connections), (seen, counting.Accepted));
    }

    [Fact]
    public async Task Send_AfterAStreamOrAPause_OpensAnotherConnection()
    {
        await using var stub = StubBackend.Answers(Ok);
        using var counting = new CountingListener(stub.Address);
        using var client = new WireClient(counting.Address, Patience, _time);
        (await AskAsync(client, counting.Address, isLast: true)).Dispose();
        using var whole = await AskAsync(client, counting.Address);
        await TextAsync(whole);
        _time.Advance(BackendHandler.IdleTimeout);
        using var later = await AskAsync(client, counting.Address);

        Assert.Equal(3, counting.Accepted);
    }

    [Fact]
    public async Task Send_OnAConnectionThatTheServerHasClosed_TakesAnother()
    {
        using var closed = new SemaphoreSlim(0);
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync(Ok);
            exchange.Close();
            closed.Release();
        });
        using var client = new WireClient(stub.Address, Patience, _time);
        for (var i = 0; i < 5; i++)
        {
            using var answer = await AskAsync(client, stub.Address);
            Assert.Equal("{}", await TextAsync(answer));
            await closed.WaitAsync(Ct);
        }
    }

    [Fact]
    public async Task Send_OnAConnectionWithBytesThatNobodyAskedFor_TakesAnother()
    {
        using var isRead = new SemaphoreSlim(0);
        using var isWritten = new SemaphoreSlim(0);
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync(Ok);
            await isRead.WaitAsync(exchange.Stop);
            await exchange.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnot mine");
            isWritten.Release();
        });
        using var client = new WireClient(stub.Address, Patience, _time);
        for (var i = 0; i < 5; i++)
        {
            using var answer = await AskAsync(client, stub.Address);
            Assert.Equal("{}", await TextAsync(answer));
            isRead.Release();
            await isWritten.WaitAsync(Ct);
        }
    }

    [Fact]
    public async Task Send_Cancelled_ClosesTheConnectionAtOnce()
    {
        var closed = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.ClosedByGatewayAsync();
            closed.SetResult();
        });
        using var client = new WireClient(stub.Address, Patience, _time);
        using var leaving = new CancellationTokenSource();
        var asking = AskAsync(client, stub.Address, cancellationToken: leaving.Token);
        await stub.Seen.ReadAsync(Ct);

        await leaving.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        await closed.Task.WaitAsync(Ct);
    }

    [Fact]
    public async Task Dispose_OfHalfAnAnswer_ClosesTheConnectionAtOnce()
    {
        var closed = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync("data: x\n\n");
            await exchange.ClosedByGatewayAsync();
            closed.SetResult();
        });
        using var client = new WireClient(stub.Address, Patience, _time);
        var answer = await AskAsync(client, stub.Address);
        Assert.Equal(9, await answer.ReadAtLeastAsync(new byte[100], 9, cancellationToken: Ct));

        answer.Dispose();

        await closed.Task.WaitAsync(Ct);
    }

    [Fact]
    public async Task Read_WhenTheExchangeIsOver_EndsWithoutAnExceptionAndClosesTheConnection()
    {
        var closed = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            await exchange.ClosedByGatewayAsync();
            closed.SetResult();
        });
        using var client = new WireClient(stub.Address, Patience, _time);
        using var leaving = new CancellationTokenSource();
        using var answer = await AskAsync(client, stub.Address, cancellationToken: leaving.Token);
        var reading = answer.ReadAsync(new byte[10], Ct);

        await leaving.CancelAsync();

        Assert.Equal(0, await reading);
        Assert.Equal(0, await answer.ReadAsync(new byte[10], Ct));
        await closed.Task.WaitAsync(Ct);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    public async Task Read_AnswerThatBreaksOff_Throws(string response)
    {
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync(response);
            exchange.Close();
        });
        using var client = new WireClient(stub.Address, Patience, _time);
        using var answer = await AskAsync(client, stub.Address);
        await Assert.ThrowsAnyAsync<IOException>(() => answer.CopyToAsync(Stream.Null, Ct));
    }

    [Fact]
    public async Task Send_ToNobody_SaysThatThereWasNoConnection()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var address = BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)socket.LocalEndPoint!).Port);
        using var client = new WireClient(address, Patience, _time);
        var fault = await Assert.ThrowsAsync<HttpRequestException>(() => AskAsync(client, address));
        Assert.Equal(HttpRequestError.ConnectionError, fault.HttpRequestError);
    }

    [Fact]
    public async Task Send_OverAUnixSocket_IsAnswered()
    {
        using var folder = new TestKit.TemporaryFolder();
        var path = Path.Combine(folder.Path, "s");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        var address = BackendAddress.Unix(path);
        using var client = new WireClient(address, Patience, _time);
        var asking = AskAsync(client, address);
        using var server = new StubExchange(await listener.AcceptAsync(Ct), Ct);
        Assert.StartsWith("POST /v1/x HTTP/1.1\r\nHost: localhost\r\n", await server.ReadRequestAsync(), StringComparison.Ordinal);
        await server.WriteAsync(Ok);
        using var answer = await asking;
        Assert.Equal("{}", await TextAsync(answer));
    }

    private static Task<WireBody> AskAsync(WireClient client, BackendAddress address, bool isLast = false, CancellationToken? cancellationToken = null)
    {
        var request = new BackendRequest { Target = new BackendTarget(new Uri(address.BaseUri, "v1/x")), Accept = "*/*", Id = "req-1", IsLast = isLast, Length = 2, ContentType = "application/json" };
        return client.AskAsync(request, "{}"u8.ToArray(), cancellationToken ?? Ct).AsTask();
    }

    private static async Task<string> TextAsync(WireBody body)
    {
        using var reader = new StreamReader(body);
        return await reader.ReadToEndAsync(Ct);
    }

    /// <summary>Passes connections on to a stub and counts them.</summary>
    private sealed class CountingListener : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly List<TcpClient> _clients = [];
        private int _accepted;

        public CountingListener(BackendAddress to)
        {
            _listener.Start();
            Address = BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)_listener.LocalEndpoint).Port);
            _ = RunAsync(to);
        }

        public BackendAddress Address { get; }

        public int Accepted => Volatile.Read(ref _accepted);

        public void Dispose()
        {
            _listener.Dispose();
            lock (_clients)
            {
                _clients.ForEach(static client => client.Dispose());
            }
        }

        private async Task RunAsync(BackendAddress to)
        {
            try
            {
                while (true)
                {
                    var from = await _listener.AcceptTcpClientAsync(Ct);
                    Interlocked.Increment(ref _accepted);
                    var onward = new TcpClient();
                    lock (_clients)
                    {
                        _clients.AddRange([from, onward]);
                    }

                    await onward.ConnectAsync(to.BaseUri.Host, to.BaseUri.Port, Ct);
                    _ = PassAsync(from, onward);
                    _ = PassAsync(onward, from);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
            }
        }

        private static async Task PassAsync(TcpClient from, TcpClient to)
        {
            try
            {
                await from.GetStream().CopyToAsync(to.GetStream(), Ct);
                to.Client.Shutdown(SocketShutdown.Send);
            }
            catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or InvalidOperationException or OperationCanceledException)
            {
            }
        }
    }
}
