using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using LlmGateway.Gateway.Requests;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LlmGateway.Gateway.Operations.Health;

/// <summary>Accepts connections on a thread of its own, answers those that ask for health, and hands all others to the web server.</summary>
/// <remarks>
/// Bytes are only looked at: whoever gets the connection reads them again. A connection stays here until its first bytes say what it is, at most
/// <see cref="Patience"/>; at most <see cref="MostWaiting"/> do so at a time, and at most <see cref="MostHanded"/> wait for the web server.
/// </remarks>
internal sealed class HealthFirstListener : IConnectionListener
{
    private const int LongestHead = 8 * 1024;
    private const int MostWaiting = 512;
    private const int MostHanded = 512;

    /// <summary>How long one that says nothing is listened to here. The web server has time limits of its own.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>The longest that the thread sleeps: so soon it sees that it is to end.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(250);

    private readonly Socket _listener;
    private readonly Func<bool> _isReady;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SocketConnectionContextFactory _connections;
    private readonly Channel<Socket> _handed = Channel.CreateBounded<Socket>(new BoundedChannelOptions(MostHanded) { SingleWriter = true });
    private readonly List<(Socket Socket, long Since)> _waiting = [];
    private readonly byte[] _buffer = new byte[LongestHead];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ManualResetEventSlim _stop = new();
    private bool _isRefusing;

    public HealthFirstListener(Socket listener, Func<bool> isReady, TimeProvider time, ILoggerFactory loggers)
    {
        (_listener, _isReady, _time) = (listener, isReady, time);
        EndPoint = listener.LocalEndPoint!;
        _logger = loggers.CreateLogger<HealthFirstListener>();
        _connections = new SocketConnectionContextFactory(new SocketConnectionFactoryOptions(), loggers.CreateLogger("Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets"));
        new Thread(Run) { IsBackground = true, Name = "management accept" }.Start();
    }

    public EndPoint EndPoint { get; }

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (await _handed.Reader.WaitToReadAsync(cancellationToken))
        {
            if (_handed.Reader.TryRead(out var socket))
            {
                return _connections.Create(socket);
            }
        }

        return null;
    }

    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        _stop.Set();

        // A host that is disposed without having been stopped has no patience: the thread ends by itself, and disposal waits for it.
        await _ended.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public async ValueTask DisposeAsync()
    {
        await UnbindAsync();
        while (_handed.Reader.TryRead(out var socket))
        {
            socket.Dispose();
        }

        _connections.Dispose();
    }

    private void Run()
    {
        try
        {
            _listener.Blocking = false;
            while (!_stop.IsSet)
            {
                Turn();
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.ManagementAcceptEnded(_logger, e);
        }
        finally
        {
            _listener.Dispose();
            _waiting.ForEach(waiting => waiting.Socket.Dispose());
            _handed.Writer.TryComplete();
            _ended.SetResult();
        }
    }

    private void Turn()
    {
        var readable = new List<Socket>(_waiting.Count + 1) { _listener };
        readable.AddRange(_waiting.Select(waiting => waiting.Socket));
        Socket.Select(readable, null, null, Tick);
        foreach (var socket in readable)
        {
            if (socket == _listener)
            {
                Accept();
            }
            else if (Settle(socket))
            {
                _waiting.RemoveAll(waiting => waiting.Socket == socket);
            }
        }

        for (var i = _waiting.Count - 1; i >= 0; i--)
        {
            if (_time.GetElapsedTime(_waiting[i].Since) > Patience)
            {
                HandOver(_waiting[i].Socket);
                _waiting.RemoveAt(i);
            }
        }
    }

    private void Accept()
    {
        try
        {
            var socket = _listener.Accept();
            _isRefusing = false;
            socket.NoDelay = true;
            socket.Blocking = false;
            if (_waiting.Count < MostWaiting)
            {
                _waiting.Add((socket, _time.GetTimestamp()));
            }
            else
            {
                HandOver(socket);
            }
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.ConnectionAborted or SocketError.ConnectionReset or SocketError.Interrupted)
        {
            // It has left already.
        }
        catch (SocketException e)
        {
            // No descriptors left, most likely: told once, tried again when the next one is due.
            if (!_isRefusing)
            {
                _isRefusing = true;
                Log.ManagementAcceptFailed(_logger, e.SocketErrorCode);
            }

            _stop.Wait(Tick);
        }
    }

    /// <summary>Answers a connection or gives it away. False: it has not said enough yet.</summary>
    private bool Settle(Socket socket)
    {
        try
        {
            var length = socket.Receive(_buffer, SocketFlags.Peek);
            var (ask, isHead) = HealthRequest.Parse(_buffer.AsSpan(0, length));
            switch (ask)
            {
                case HealthAsk.Incomplete when length > 0 && length < LongestHead:
                    return false;
                case HealthAsk.Live or HealthAsk.Ready:
                    // Read for good: a connection that is closed over unread bytes is reset, and the answer lost.
                    socket.Receive(_buffer, 0, length, SocketFlags.None);
                    socket.Send(Answer(ask == HealthAsk.Live || _isReady(), ask == HealthAsk.Live ? "ok" : null, isHead));
                    socket.Shutdown(SocketShutdown.Both);
                    socket.Dispose();
                    return true;
                default:
                    HandOver(socket);
                    return true;
            }
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
        {
            return false;
        }
        catch (SocketException)
        {
            socket.Dispose(); // it has left
            return true;
        }
    }

    private void HandOver(Socket socket)
    {
        if (!_handed.Writer.TryWrite(socket))
        {
            socket.Dispose(); // as a full backlog does
        }
    }

    private byte[] Answer(bool isGood, string? text, bool isHead)
    {
        text ??= isGood ? "ready" : "not ready";
        return Encoding.ASCII.GetBytes(string.Create(
            CultureInfo.InvariantCulture,
            $"HTTP/1.1 {(isGood ? "200 OK" : "503 Service Unavailable")}\r\nContent-Type: text/plain; charset=utf-8\r\nDate: {_time.GetUtcNow():r}\r\nContent-Length: {text.Length}\r\n{RequestId.Header}: {RequestId.From(null)}\r\nConnection: close\r\n\r\n{(isHead ? "" : text)}"));
    }
}
