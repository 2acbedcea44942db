using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>An HTTP/1.1 answer as its bytes say it, with no client library in between that could mend or hide anything.</summary>
internal sealed class RawAnswer(Socket socket) : IDisposable
{
    private readonly List<byte> _bytes = [];

    public int Status { get; private set; }

    /// <summary>Status line and headers; empty until they are all there.</summary>
    public string Head { get; private set; } = "";

    /// <summary>The body so far, without its framing.</summary>
    public byte[] Body { get; private set; } = [];

    /// <summary>The message has ended as HTTP wants it.</summary>
    public bool IsComplete { get; private set; }

    /// <summary>The connection has ended, in whatever way.</summary>
    public bool IsClosed { get; private set; }

    public string Text => Encoding.UTF8.GetString(Body);

    public static async Task<RawAnswer> AskAsync(Uri url, string request, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(url.Host, url.Port, cancellationToken);
        await socket.SendAsync(Encoding.UTF8.GetBytes(request), cancellationToken);
        return new RawAnswer(socket);
    }

    /// <summary>Reads until it is as wanted, complete, or closed.</summary>
    public async Task ReadAsync(Func<RawAnswer, bool> isEnough, CancellationToken cancellationToken)
    {
        var buffer = new byte[64 * 1024];
        while (!IsComplete && !IsClosed && !isEnough(this))
        {
            int read;
            try
            {
                read = await socket.ReceiveAsync(buffer, cancellationToken);
            }
            catch (SocketException)
            {
                read = 0;
            }

            IsClosed = read == 0;
            _bytes.AddRange(buffer.AsSpan(0, read));
            Parse();
        }
    }

    /// <summary>True when the other side closes, or has closed, the connection.</summary>
    public async Task<bool> ClosesAsync(CancellationToken cancellationToken)
    {
        try
        {
            return IsClosed || await socket.ReceiveAsync(new byte[1], cancellationToken) == 0;
        }
        catch (SocketException)
        {
            return true;
        }
    }

    public void Dispose() => socket.Dispose();

    private void Parse()
    {
        var bytes = _bytes.ToArray().AsSpan();
        var end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0)
        {
            return;
        }

        Head = Encoding.Latin1.GetString(bytes[..(end + 2)]);
        Status = int.Parse(Head.AsSpan(9, 3), NumberStyles.None, CultureInfo.InvariantCulture);
        var rest = bytes[(end + 4)..];
        if (Header("Content-Length") is { } length)
        {
            Body = rest[..Math.Min(rest.Length, int.Parse(length, CultureInfo.InvariantCulture))].ToArray();
            IsComplete = Body.Length == int.Parse(length, CultureInfo.InvariantCulture);
            return;
        }

        var body = new List<byte>();
        while (rest.IndexOf("\r\n"u8) is var line and > 0)
        {
            var size = int.Parse(Encoding.ASCII.GetString(rest[..line]), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            rest = rest[(line + 2)..];
            IsComplete = size == 0 && rest.StartsWith("\r\n"u8);
            if (size == 0 || rest.Length < size + 2)
            {
                body.AddRange(rest[..Math.Min(size, rest.Length)]);
                break;
            }

            body.AddRange(rest[..size]);
            rest = rest[(size + 2)..];
        }

        Body = [.. body];
    }

    private string? Header(string name) => Head.Split("\r\n")
        .FirstOrDefault(line => line.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase))?[(name.Length + 1)..].Trim();
}
