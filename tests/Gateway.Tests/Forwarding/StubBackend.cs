using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>A server of raw bytes on a port of its own: it sees exactly what the gateway sends and answers exactly what a test says.</summary>
internal sealed class StubBackend : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<StubExchange, Task> _answer;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<string> _seen = Channel.CreateUnbounded<string>();
    private readonly ConcurrentBag<Task> _running = [];
    private readonly Task _accepting;

    public StubBackend(Func<StubExchange, Task> answer)
    {
        _answer = answer;
        _listener.Start();
        Address = BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)_listener.LocalEndpoint).Port);
        _accepting = AcceptAsync();
    }

    public BackendAddress Address { get; }

    /// <summary>Requests as they came: head and body.</summary>
    public ChannelReader<string> Seen => _seen.Reader;

    public static StubBackend Answers(string response) => new(exchange => exchange.WriteAsync(response));

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();

        // Before the listener goes: a loop that comes back to one that is not listening any more gets a fault of its own kind.
        await _accepting;
        _listener.Dispose();
        await Task.WhenAll(_running);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                _running.Add(ServeAsync(await _listener.AcceptSocketAsync(_stop.Token)));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using var exchange = new StubExchange(socket, _stop.Token);
        try
        {
            while (await exchange.ReadRequestAsync() is { } request)
            {
                _seen.Writer.TryWrite(request);
                await _answer(exchange);
                if (exchange.IsOver)
                {
                    return;
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or IOException or ObjectDisposedException)
        {
        }
    }
}

/// <summary>One connection of a stub.</summary>
internal sealed class StubExchange(Socket socket, CancellationToken stop) : IDisposable
{
    private readonly NetworkStream _stream = new(socket, ownsSocket: true);

    public bool IsOver { get; private set; }

    /// <summary>The path of the last request.</summary>
    public string Path { get; private set; } = "";

    public string Body { get; private set; } = "";

    public CancellationToken Stop => stop;

    public Task WriteAsync(string text) => WriteAsync(Encoding.UTF8.GetBytes(text));

    public Task WriteAsync(byte[] bytes) => _stream.WriteAsync(bytes, stop).AsTask();

    public Task WriteChunkAsync(string text) => WriteAsync($"{Encoding.UTF8.GetByteCount(text):x}\r\n{text}\r\n");

    /// <summary>Begins a stream of events, as llama-server does that was asked to close after it: else its connection would be used again while it closes.</summary>
    public Task BeginEventsAsync() => WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");

    /// <summary>Ends the connection as a killed process does.</summary>
    public void Reset()
    {
        IsOver = true;
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    /// <summary>Ends the connection in good order.</summary>
    public void Close()
    {
        IsOver = true;
        socket.Shutdown(SocketShutdown.Both);
    }

    /// <summary>Completes when the other side has closed.</summary>
    public async Task ClosedByGatewayAsync()
    {
        IsOver = true;
        var buffer = new byte[1024];
        try
        {
            while (await _stream.ReadAsync(buffer, stop) > 0)
            {
            }
        }
        catch (IOException)
        {
        }
    }

    public async Task<string?> ReadRequestAsync()
    {
        var text = new StringBuilder();
        var one = new byte[1];
        while (!text.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            if (await _stream.ReadAsync(one, stop) == 0)
            {
                return null;
            }

            text.Append((char)one[0]);
        }

        Path = text.ToString().Split(' ')[1];
        var length = text.ToString().Split("\r\n").FirstOrDefault(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase));
        var body = new byte[length is null ? 0 : int.Parse(length["Content-Length:".Length..], System.Globalization.CultureInfo.InvariantCulture)];
        await _stream.ReadExactlyAsync(body, stop);
        Body = Encoding.UTF8.GetString(body);
        return text + Body;
    }

    public void Dispose() => _stream.Dispose();
}
