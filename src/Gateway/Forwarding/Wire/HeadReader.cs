using System.Globalization;
using System.Text;

namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>Reads the head of an HTTP/1 answer. Pure.</summary>
internal static class HeadReader
{
    /// <summary>Longest head, in bytes.</summary>
    public const int Longest = 64 * 1024;

    /// <summary>Reads a head.</summary>
    /// <param name="bytes">What has come.</param>
    /// <param name="consumed">Bytes of the head, when it is whole.</param>
    /// <returns>Null when it is not all there.</returns>
    /// <exception cref="HttpRequestException">It is no head of an HTTP/1 answer.</exception>
    public static AnswerHead? Read(ReadOnlySpan<byte> bytes, out int consumed)
    {
        consumed = EndOf(bytes);
        if (consumed < 0)
        {
            return bytes.Length < Longest ? null : throw Malformed("its head is too long");
        }

        var rest = bytes[..consumed];
        var (status, keeps) = StatusLine(NextLine(ref rest));
        var (closes, isChunked, isEncoded, lengths, length) = (false, false, false, 0, (long?)null);
        string? type = null;
        while (NextLine(ref rest) is { IsEmpty: false } line)
        {
            var (name, value) = Header(line);
            if (Ascii.EqualsIgnoreCase(name, "Content-Type"u8))
            {
                type = type is null ? Type(value) : "";
            }
            else if (Ascii.EqualsIgnoreCase(name, "Content-Length"u8))
            {
                // Two lengths, or one that is no number, are none.
                length = ++lengths == 1 && long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
            }
            else if (Ascii.EqualsIgnoreCase(name, "Transfer-Encoding"u8))
            {
                isChunked = !isChunked && Ascii.EqualsIgnoreCase(value, "chunked"u8) ? true : throw Malformed("its transfer encoding is not chunked alone");
            }
            else if (Ascii.EqualsIgnoreCase(name, "Connection"u8))
            {
                keeps |= Ascii.EqualsIgnoreCase(value, "keep-alive"u8);
                closes |= Encoding.Latin1.GetString(value).Contains("close", StringComparison.OrdinalIgnoreCase);
            }
            else if (Ascii.EqualsIgnoreCase(name, "Content-Encoding"u8))
            {
                isEncoded |= Encoding.Latin1.GetString(value).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Any(AnswerHead.IsCoding);
            }
        }

        var framing = status is 204 or 304 or < 200 ? BodyFraming.None : isChunked ? BodyFraming.Chunks : length is null ? BodyFraming.Connection : BodyFraming.Length;
        return new AnswerHead
        {
            Status = status,
            Framing = framing,
            Length = isChunked ? null : length,
            HasLength = lengths > 0,
            KeepsConnection = keeps && !closes && framing != BodyFraming.Connection && !(isChunked && lengths > 0),
            ContentType = type,
            IsEncoded = isEncoded,
        };
    }

    /// <summary>Behind the empty line; -1 when there is none yet. Lines end with LF, with or without a CR before it.</summary>
    private static int EndOf(ReadOnlySpan<byte> bytes)
    {
        for (var at = 0; bytes[at..].IndexOf((byte)'\n') is var line and >= 0;)
        {
            at += line + 1;
            if (bytes[at..] is [(byte)'\n', ..])
            {
                return at + 1;
            }

            if (bytes[at..] is [(byte)'\r', (byte)'\n', ..])
            {
                return at + 2;
            }
        }

        return -1;
    }

    private static ReadOnlySpan<byte> NextLine(ref ReadOnlySpan<byte> rest)
    {
        var end = rest.IndexOf((byte)'\n');
        var line = rest[..end];
        rest = rest[(end + 1)..];
        return line.EndsWith("\r"u8) ? line[..^1] : line;
    }

    private static (int Status, bool Keeps) StatusLine(ReadOnlySpan<byte> line)
    {
        // HTTP/1.x SSS, and a reason that nobody reads.
        var isKnown = line.Length >= 12 && line.StartsWith("HTTP/1."u8) && line[7] is (byte)'0' or (byte)'1' && line[8] == ' ' && (line.Length == 12 || line[12] == ' ');
        return isKnown && int.TryParse(line[9..12], NumberStyles.None, CultureInfo.InvariantCulture, out var status) && status >= 100
            ? (status, line[7] == '1')
            : throw Malformed("it does not begin as HTTP/1 does");
    }

    private static HeaderLine Header(ReadOnlySpan<byte> line)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || line[..colon].IndexOfAny((byte)' ', (byte)'\t') >= 0)
        {
            throw Malformed("a line of its head is no header");
        }

        var value = line[(colon + 1)..].Trim(" \t"u8);
        return value.IndexOfAny((byte)'\0', (byte)'\r') < 0 ? new(line[..colon], value) : throw Malformed("a header holds a control character");
    }

    /// <summary>A type; those that llama-server sends are not put together anew.</summary>
    private static string Type(ReadOnlySpan<byte> value) => value switch
    {
        _ when value.SequenceEqual("application/json; charset=utf-8"u8) => "application/json; charset=utf-8",
        _ when value.SequenceEqual("text/event-stream"u8) => "text/event-stream",
        _ when value.SequenceEqual("application/json"u8) => "application/json",
        _ => AnswerHead.Normalised(Encoding.Latin1.GetString(value)),
    };

    private static HttpRequestException Malformed(string why) => new(HttpRequestError.InvalidResponse, $"The answer can't be read: {why}.");

    private readonly ref struct HeaderLine(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        private readonly ReadOnlySpan<byte> _name = name;
        private readonly ReadOnlySpan<byte> _value = value;

        public void Deconstruct(out ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
        {
            name = _name;
            value = _value;
        }
    }
}
