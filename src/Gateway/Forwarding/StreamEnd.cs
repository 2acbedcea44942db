using System.Buffers;
using System.Text.Json;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>How the stream of each API ends, rightly and brokenly. Pure.</summary>
internal static class StreamEnd
{
    /// <summary>True for the event that ends an answer, the API's own last one.</summary>
    public static bool IsLast(in StreamShape shape, ReadOnlySpan<byte> oneEvent) => shape.Dialect switch
    {
        ApiDialect.OpenAi => IsData(oneEvent, "[DONE]"u8),
        ApiDialect.Responses => IsNamed(oneEvent, "response.completed"u8) || IsNamed(oneEvent, "response.incomplete"u8) || IsNamed(oneEvent, "response.failed"u8),
        ApiDialect.Messages => IsNamed(oneEvent, "message_stop"u8),
        _ when shape.PicksFields => IsData(oneEvent, "{"u8) && oneEvent.IndexOf("\"stop\":false"u8) < 0, // every other event says that it is not the last
        _ => oneEvent.IndexOf("\"stop\":true"u8) >= 0,
    };

    /// <summary>True for an error that the backend reports in the stream itself; it ends the stream.</summary>
    public static bool IsError(ReadOnlySpan<byte> oneEvent) => IsNamed(oneEvent, "error"u8) || IsData(oneEvent, "{\"error\":"u8);

    /// <summary>The event that tells the client that its answer is broken, or that there will be none.</summary>
    public static byte[] ErrorEvent(ApiDialect dialect, ApiError error, string requestId) =>
        Framed(dialect, dialect == ApiDialect.Responses ? ResponsesError(error.Code, error.Message) : error.ToJson(dialect, requestId));

    /// <summary>The same for a backend's own error.</summary>
    /// <param name="dialect">The API.</param>
    /// <param name="body">JSON with an object <c>error</c> that has a <c>message</c>.</param>
    public static byte[] ErrorEvent(ApiDialect dialect, ReadOnlyMemory<byte> body)
    {
        using var document = JsonDocument.Parse(body);
        if (dialect == ApiDialect.Responses)
        {
            var error = document.RootElement.GetProperty("error");
            var code = error.TryGetProperty("type", out var type) && type.ValueKind == JsonValueKind.String ? type.GetString() : null;
            return Framed(dialect, ResponsesError(code, error.GetProperty("message").ToString()));
        }

        // Written anew: a line end within the body would end the event.
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            document.WriteTo(json);
        }

        return Framed(dialect, buffer.WrittenSpan);
    }

    private static byte[] Framed(ApiDialect dialect, ReadOnlySpan<byte> json)
    {
        var buffer = new ArrayBufferWriter<byte>();
        if (dialect is ApiDialect.Responses or ApiDialect.Messages)
        {
            buffer.Write("event: error\n"u8);
        }

        buffer.Write("data: "u8);
        if (dialect == ApiDialect.OpenAi)
        {
            // OpenAI's .NET library reads past an error, and would take the text for whole; a chunk whose time is null it refuses. Those that know errors look for the error first.
            buffer.Write(json[..^1]);
            buffer.Write(",\"created\":null}"u8);
        }
        else
        {
            buffer.Write(json);
        }

        buffer.Write("\n\n"u8);
        return buffer.WrittenSpan.ToArray();
    }

    // The responses API has its error's fields at the top of the event.
    private static byte[] ResponsesError(string? code, string message)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("type", "error");
            json.WriteString("code", code);
            json.WriteString("message", message);
            json.WriteNull("param");
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static bool IsNamed(ReadOnlySpan<byte> oneEvent, ReadOnlySpan<byte> name) => HasLine(oneEvent, "event:"u8, name, wholeLine: true);

    private static bool IsData(ReadOnlySpan<byte> oneEvent, ReadOnlySpan<byte> start) => HasLine(oneEvent, "data:"u8, start, wholeLine: false);

    private static bool HasLine(ReadOnlySpan<byte> oneEvent, ReadOnlySpan<byte> field, ReadOnlySpan<byte> value, bool wholeLine)
    {
        foreach (var range in oneEvent.SplitAny((byte)'\n', (byte)'\r'))
        {
            var line = oneEvent[range];
            if (line.StartsWith(field))
            {
                var text = line[field.Length..].TrimStart((byte)' ');
                if (wholeLine ? text.SequenceEqual(value) : text.StartsWith(value))
                {
                    return true;
                }
            }
        }

        return false;
    }
}
