using System.Buffers.Text;
using System.Text;

namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>The head of a request as a backend reads it. Pure.</summary>
internal static class RequestHead
{
    /// <summary>Bytes of a head besides its texts: more than there are.</summary>
    private const int Fixed = 256;

    /// <summary>Bytes that the head has at most.</summary>
    public static int LongestOf(in BackendRequest request) =>
        Fixed + request.Target.Path.Length + request.Target.Authority.Length + request.Accept.Length + request.Id.Length
        + (request.TraceParent?.Length ?? 0) + (request.Authorization?.Length ?? 0) + request.ContentType.Length;

    /// <summary>Writes it.</summary>
    /// <param name="request">What it says.</param>
    /// <param name="to">Gets the bytes: <see cref="LongestOf"/>.</param>
    /// <returns>How many there are.</returns>
    /// <exception cref="HttpRequestException">A text holds what would end its line.</exception>
    public static int Write(in BackendRequest request, Span<byte> to)
    {
        var rest = to;
        Raw("POST "u8, ref rest);
        Text(request.Target.Path, ref rest);
        Raw(" HTTP/1.1\r\nHost: "u8, ref rest);
        Text(request.Target.Authority, ref rest);
        Raw("\r\nAccept: "u8, ref rest);
        Text(request.Accept, ref rest);
        Raw("\r\nX-Request-ID: "u8, ref rest);
        Text(request.Id, ref rest);
        if (request.IsLast)
        {
            Raw("\r\nConnection: close"u8, ref rest);
        }

        if (request.TraceParent is { } trace)
        {
            Raw("\r\ntraceparent: "u8, ref rest);
            Text(trace, ref rest);
        }

        if (request.Authorization is { } key)
        {
            Raw("\r\nAuthorization: "u8, ref rest);
            Text(key, ref rest);
        }

        Raw("\r\nContent-Length: "u8, ref rest);
        Utf8Formatter.TryFormat(request.Length, rest, out var digits);
        rest = rest[digits..];
        Raw("\r\nContent-Type: "u8, ref rest);
        Text(request.ContentType, ref rest);
        Raw("\r\n\r\n"u8, ref rest);
        return to.Length - rest.Length;
    }

    private static void Raw(ReadOnlySpan<byte> bytes, ref Span<byte> rest)
    {
        bytes.CopyTo(rest);
        rest = rest[bytes.Length..];
    }

    private static void Text(string text, ref Span<byte> rest)
    {
        if (text.AsSpan().ContainsAny('\r', '\n', '\0'))
        {
            throw new HttpRequestException("A header can't be sent: it holds the end of its line.");
        }

        rest = rest[Encoding.Latin1.GetBytes(text, rest)..];
    }
}
