namespace LlmGateway.Gateway.Operations.Health;

/// <summary>What the first bytes of a connection ask for.</summary>
internal enum HealthAsk
{
    /// <summary>Can't be told yet.</summary>
    Incomplete,

    /// <summary>Anything else: the web server's.</summary>
    Other,

    /// <summary><c>/healthz</c>.</summary>
    Live,

    /// <summary><c>/readyz</c>.</summary>
    Ready,
}

/// <summary>Recognises a plain health request among the first bytes of a connection. Pure; whatever is in the least unusual is the web server's.</summary>
internal static class HealthRequest
{
    private static readonly (byte[] Start, HealthAsk Ask, bool IsHead)[] Starts =
    [
        ("GET /healthz"u8.ToArray(), HealthAsk.Live, false), ("GET /readyz"u8.ToArray(), HealthAsk.Ready, false),
        ("HEAD /healthz"u8.ToArray(), HealthAsk.Live, true), ("HEAD /readyz"u8.ToArray(), HealthAsk.Ready, true),
    ];

    /// <param name="bytes">All that has come so far.</param>
    /// <returns>What is asked for, and whether only the head of the answer is wanted.</returns>
    public static (HealthAsk Ask, bool IsHead) Parse(ReadOnlySpan<byte> bytes)
    {
        foreach (var (start, ask, isHead) in Starts)
        {
            if (bytes.Length < start.Length && start.AsSpan().StartsWith(bytes))
            {
                return (HealthAsk.Incomplete, false);
            }

            if (bytes.StartsWith(start))
            {
                return (Rest(bytes[start.Length..], ask), isHead);
            }
        }

        return (HealthAsk.Other, false);
    }

    private static HealthAsk Rest(ReadOnlySpan<byte> rest, HealthAsk ask)
    {
        if (rest.Length > 0 && rest[0] is not ((byte)' ' or (byte)'?'))
        {
            return HealthAsk.Other;
        }

        var end = rest.IndexOf("\r\n\r\n"u8);
        if (end < 0)
        {
            return HealthAsk.Incomplete;
        }

        // Behind the head nothing may follow, neither a body nor the next request.
        var line = rest[..rest.IndexOf("\r\n"u8)];
        var headers = rest[line.Length..end];
        return end + 4 == rest.Length && (line.EndsWith(" HTTP/1.1"u8) || line.EndsWith(" HTTP/1.0"u8)) && !IsUnusual(headers) ? ask : HealthAsk.Other;
    }

    /// <summary>True with a header that the web server's own rules look at: a body, another protocol, a browser's page behind it.</summary>
    private static bool IsUnusual(ReadOnlySpan<byte> headers)
    {
        foreach (var range in headers.Split("\r\n"u8))
        {
            var line = headers[range];
            if (line.IsEmpty)
            {
                continue;
            }

            var colon = line.IndexOf((byte)':');
            if (colon <= 0 || line[..colon] is var name && (Is(name, "content-length"u8) || Is(name, "transfer-encoding"u8) || Is(name, "upgrade"u8)
                || Is(name, "expect"u8) || Is(name, "origin"u8) || Is(name, "sec-fetch-site"u8) || Is(name, "x-request-id"u8)))
            {
                return true;
            }
        }

        return false;
    }

    private static bool Is(ReadOnlySpan<byte> name, ReadOnlySpan<byte> header) => System.Text.Ascii.EqualsIgnoreCase(name, header);
}
