using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>The way to one backend: plain HTTP/1.1 over TCP or a Unix socket, one request at a time on a connection, nothing remembered, nothing asked twice.</summary>
/// <remarks>
/// It does what inference needs and no more, in place of .NET's HTTP client: a body that is in memory, an answer that is read once, in order. There is no
/// bound on connections: slots bound what is open.
/// </remarks>
internal sealed class WireClient : IDisposable
{
    /// <summary>Connections put aside; one more is closed.</summary>
    private const int MostIdle = 1024;

    private readonly EndPoint _endpoint;
    private readonly TimeSpan _connectTimeout;
    private readonly TimeProvider _time;
    private readonly ITimer _sweep;
    private readonly Action<WireConnection> _putAside;
    private readonly Lock _lock = new();
    private readonly List<WireConnection> _idle = [];
    private bool _isSweeping;
    private bool _isDisposed;

    /// <param name="address">Where the server listens; not <c>https</c>.</param>
    /// <param name="connectTimeout">Longest wait for a connection. <value>More than 0.</value></param>
    /// <param name="time">The clock of that, and of how long connections are put aside.</param>
    public WireClient(BackendAddress address, TimeSpan connectTimeout, TimeProvider time)
    {
        (_connectTimeout, _time, _putAside) = (connectTimeout, time, PutAside);
        var uri = address.BaseUri;
        _endpoint = address.UnixSocketPath is { } path ? new UnixDomainSocketEndPoint(path)
            : IPAddress.TryParse(uri.DnsSafeHost, out var ip) ? new IPEndPoint(ip, uri.Port)
            : new DnsEndPoint(uri.DnsSafeHost, uri.Port);
        _sweep = time.CreateTimer(static client => ((WireClient)client!).Sweep(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Sends a request and reads the head of its answer; the caller disposes the body.</summary>
    /// <param name="request">Its head.</param>
    /// <param name="body">Its body; not given away before this has returned.</param>
    /// <param name="cancellationToken">Ends the exchange, the body's reading included, at once.</param>
    /// <exception cref="HttpRequestException">No connection could be made, or what came is no answer.</exception>
    /// <exception cref="IOException">The connection failed.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<WireBody> AskAsync(BackendRequest request, ReadOnlyMemory<byte> body, CancellationToken cancellationToken)
    {
        var connection = TakeIdle() ?? await ConnectAsync(cancellationToken);
        try
        {
            return new WireBody(connection, await connection.AskAsync(request, body, cancellationToken), request.IsLast ? null : _putAside);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _sweep.Dispose();
        lock (_lock)
        {
            _isDisposed = true;
            _idle.ForEach(static connection => connection.Dispose());
            _idle.Clear();
        }
    }

    /// <summary>The connection that was used last; those that the server has closed meanwhile are left behind.</summary>
    private WireConnection? TakeIdle()
    {
        while (true)
        {
            WireConnection connection;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                if (_idle.Count == 0)
                {
                    return null;
                }

                connection = _idle[^1];
                _idle.RemoveAt(_idle.Count - 1);
            }

            if (_time.GetElapsedTime(connection.IdleSince) < BackendHandler.IdleTimeout && connection.TryResume())
            {
                return connection;
            }

            connection.Dispose();
        }
    }

    private void PutAside(WireConnection connection)
    {
        connection.IdleSince = _time.GetTimestamp();
        lock (_lock)
        {
            if (!_isDisposed && _idle.Count < MostIdle)
            {
                _idle.Add(connection);
                if (!_isSweeping)
                {
                    _isSweeping = true;
                    _sweep.Change(BackendHandler.IdleTimeout, Timeout.InfiniteTimeSpan);
                }

                return;
            }
        }

        connection.Dispose();
    }

    /// <summary>Closes those that have been put aside for too long; comes again only while there are others.</summary>
    private void Sweep()
    {
        lock (_lock)
        {
            var old = 0;
            while (old < _idle.Count && _time.GetElapsedTime(_idle[old].IdleSince) >= BackendHandler.IdleTimeout)
            {
                _idle[old++].Dispose();
            }

            _idle.RemoveRange(0, old);
            _isSweeping = !_isDisposed && _idle.Count > 0;
            if (_isSweeping)
            {
                _sweep.Change(BackendHandler.IdleTimeout, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private async ValueTask<WireConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        var socket = _endpoint switch
        {
            UnixDomainSocketEndPoint => new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified),
            IPEndPoint ip => new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true },
            _ => new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true },
        };
        using var limit = new CancellationTokenSource(_connectTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            await socket.ConnectAsync(_endpoint, either.Token);
            return new WireConnection(socket);
        }
        catch (Exception e)
        {
            socket.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw new HttpRequestException(HttpRequestError.ConnectionError, limit.IsCancellationRequested ? "No connection could be made in time." : $"No connection could be made: {e.Message}", e);
        }
    }
}
