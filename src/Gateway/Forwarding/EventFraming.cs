namespace LlmGateway.Gateway.Forwarding;

/// <summary>Where one server-sent event ends and the next begins. Pure.</summary>
internal static class EventFraming
{
    /// <summary>Length of the first event with its blank line; 0 when it is not all there.</summary>
    /// <remarks>A line ends with LF, CRLF or CR, in any mix.</remarks>
    public static int NextEvent(ReadOnlySpan<byte> bytes)
    {
        var position = 0;
        while (bytes[position..].IndexOfAny((byte)'\n', (byte)'\r') is var found and >= 0)
        {
            position += found;
            var first = LineEnd(bytes[position..]);
            var second = LineEnd(bytes[(position + first)..]);
            if (second > 0)
            {
                return position + first + second;
            }

            position += first;
        }

        return 0;
    }

    /// <summary>True for an event that only keeps the connection alive: every line is a comment.</summary>
    public static bool IsComment(ReadOnlySpan<byte> oneEvent)
    {
        foreach (var range in oneEvent.SplitAny((byte)'\n', (byte)'\r'))
        {
            var line = oneEvent[range];
            if (!line.IsEmpty && line[0] != (byte)':')
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The text of an event that has one <c>data</c> line and, but for comments, no other.</summary>
    public static bool TryGetData(ReadOnlySpan<byte> oneEvent, out ReadOnlySpan<byte> data)
    {
        data = [];
        foreach (var range in oneEvent.SplitAny((byte)'\n', (byte)'\r'))
        {
            var line = oneEvent[range];
            if (line.IsEmpty || line[0] == (byte)':')
            {
                continue;
            }

            if (!data.IsEmpty || !line.StartsWith("data:"u8))
            {
                return false;
            }

            data = line["data:".Length..].TrimStart((byte)' ');
        }

        return !data.IsEmpty;
    }

    private static int LineEnd(ReadOnlySpan<byte> bytes) => bytes switch
    {
        [(byte)'\r', (byte)'\n', ..] => 2,
        [(byte)'\r' or (byte)'\n', ..] => 1,
        _ => 0,
    };
}
