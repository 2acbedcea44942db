using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using LlmGateway.Gateway.Forwarding.Wire;

namespace LlmGateway.BareKestrel;

/// <summary>The way to one backend, whose answers are believed and whose headers are spelled as llama-server spells them.</summary>
internal sealed class Wire(Uri backend)
{
    private readonly IPEndPoint _endpoint = new(IPAddress.Parse(backend.Host), backend.Port);
    private readonly ConcurrentStack<Socket> _kept = [];

    public async Task PassAsync(HttpContext context)
    {
        var request = await ReadAsync(context.Request);
        while (true)
        {
            var isKept = _kept.TryPop(out var socket);
            socket ??= await ConnectAsync();
            using var cut = context.RequestAborted.UnsafeRegister(static socket => ((Socket)socket!).Dispose(), socket);
            try
            {
                await socket.SendAsync(request);
                if (await AnswerAsync(context.Response, socket))
                {
                    if (cut.Unregister())
                    {
                        _kept.Push(socket);
                    }

                    return;
                }

                socket.Dispose();
                if (!isKept)
                {
                    context.Abort();
                    return;
                }

                // The backend had closed it meanwhile.
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                socket.Dispose();
                if (!isKept || context.RequestAborted.IsCancellationRequested)
                {
                    context.Abort();
                    return;
                }
            }
        }
    }

    private async Task<byte[]> ReadAsync(HttpRequest request)
    {
        var length = (int)(request.ContentLength ?? 0);
        var head = Encoding.ASCII.GetBytes(string.Create(
            CultureInfo.InvariantCulture,
            $"{request.Method} {request.Path}{request.QueryString} HTTP/1.1\r\nHost: {backend.Authority}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"));
        var bytes = new byte[head.Length + length];
        head.CopyTo(bytes, 0);
        await request.Body.ReadExactlyAsync(bytes.AsMemory(head.Length));
        return bytes;
    }

    private async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(_endpoint);
        return socket;
    }

    /// <summary>False when the connection ended before the answer did.</summary>
    private static async Task<bool> AnswerAsync(HttpResponse response, Socket socket)
    {
        var buffer = new byte[4096];
        var (count, head) = (0, -1);
        while (head < 0)
        {
            var received = await socket.ReceiveAsync(buffer.AsMemory(count));
            if (received == 0)
            {
                return false;
            }

            count += received;
            head = buffer.AsSpan(0, count).IndexOf("\r\n\r\n"u8);
        }

        var left = Describe(response, buffer.AsSpan(0, head + 2));
        var bytes = buffer.AsMemory(head + 4, count - head - 4);
        var chunks = default(ChunkDecoder);
        while (true)
        {
            var length = left is null ? chunks.Decode(bytes.Span, out _) : bytes.Length;
            if (length > 0)
            {
                await response.Body.WriteAsync(bytes[..length]);
            }

            left -= length;
            if (left == 0 || chunks.IsEnded)
            {
                return true;
            }

            count = await socket.ReceiveAsync(buffer);
            if (count == 0)
            {
                return false;
            }

            bytes = buffer.AsMemory(0, count);
        }
    }

    /// <returns>Length of the body; null when it comes in chunks.</returns>
    private static long? Describe(HttpResponse response, ReadOnlySpan<byte> head)
    {
        response.StatusCode = int.Parse(head[9..12], CultureInfo.InvariantCulture);
        response.ContentType = Encoding.ASCII.GetString(Value(head, "\r\nContent-Type: "u8));
        response.ContentLength = Utf8Parser.TryParse(Value(head, "\r\nContent-Length: "u8), out long length, out _) ? length : null;
        return response.ContentLength;
    }

    private static ReadOnlySpan<byte> Value(ReadOnlySpan<byte> head, ReadOnlySpan<byte> name)
    {
        var at = head.IndexOf(name);
        var value = at < 0 ? default : head[(at + name.Length)..];
        return value[..Math.Max(0, value.IndexOf("\r\n"u8))];
    }
}
