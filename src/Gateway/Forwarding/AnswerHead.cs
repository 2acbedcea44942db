using System.Net.Http.Headers;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>How the end of an answer's body is known.</summary>
internal enum BodyFraming
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>By its length.</summary>
    Length,

    /// <summary>By its last chunk.</summary>
    Chunks,

    /// <summary>By the end of the connection.</summary>
    Connection,
}

/// <summary>The head of a backend's answer: its status, and the few headers that anybody here looks at.</summary>
internal sealed class AnswerHead
{
    /// <summary>100 to 999.</summary>
    public required int Status { get; init; }

    /// <summary>Where the body ends.</summary>
    public required BodyFraming Framing { get; init; }

    /// <summary>Bytes of the body when the head says so in one number; else null.</summary>
    public long? Length { get; init; }

    /// <summary>True when the head has a length at all, whatever it says.</summary>
    public bool HasLength { get; init; }

    /// <summary>True when the connection may be used again behind the body.</summary>
    public bool KeepsConnection { get; init; }

    /// <summary>The body's type; null when the head has none. Empty when what it has is no type.</summary>
    public string? ContentType { get; init; }

    /// <summary>True when the body is coded in a way that would have to be told.</summary>
    public bool IsEncoded { get; init; }

    /// <summary>The type without its parameters; empty when there is none.</summary>
    public ReadOnlySpan<char> MediaType => ContentType.AsSpan(0, ContentType?.IndexOf(';') is { } end and >= 0 ? end : ContentType?.Length ?? 0).Trim();

    /// <summary>True for a stream of events.</summary>
    public bool IsEvents => MediaType.Equals("text/event-stream", StringComparison.OrdinalIgnoreCase);

    /// <summary>Why this answer, of status 2xx, can't be passed on to a client, or null when it can.</summary>
    /// <remarks>The client sees no header of a backend but the type: whatever would need another one to be understood is no answer.</remarks>
    public string? Fault() => this switch
    {
        { Status: 204 or 205 } => "It is empty.",
        { IsEncoded: true } => "It is compressed although nobody asked for that.",
        { Framing: BodyFraming.Chunks, HasLength: true } => "It has both a length and chunks.",
        { HasLength: true, Length: null } => "Its length is no number.",
        { ContentType: not null } when !IsKnown(MediaType) => "Its type is not one that an inference server has reason to send.",
        _ => null,
    };

    /// <summary>The same of an answer that .NET's HTTP client has read.</summary>
    public static AnswerHead Of(HttpResponseMessage response)
    {
        var headers = response.Content.Headers;
        var isChunked = response.Headers.TransferEncodingChunked == true;
        return new AnswerHead
        {
            Status = (int)response.StatusCode,
            Framing = isChunked ? BodyFraming.Chunks : headers.ContentLength is null ? BodyFraming.Connection : BodyFraming.Length,
            Length = isChunked ? null : headers.ContentLength,
            HasLength = headers.NonValidated.Contains("Content-Length"),
            ContentType = headers.ContentType?.ToString() ?? (headers.NonValidated.Contains("Content-Type") ? "" : null),
            IsEncoded = headers.ContentEncoding.Any(IsCoding),
        };
    }

    /// <summary>A type as it is passed on: as its parser writes it, empty when it is none.</summary>
    public static string Normalised(string type) => MediaTypeHeaderValue.TryParse(type, out var parsed) ? parsed.ToString() : "";

    /// <summary>True for what is more than no coding at all.</summary>
    public static bool IsCoding(string coding) => !coding.Equals("identity", StringComparison.OrdinalIgnoreCase);

    /// <summary>Types of inference answers; never one that a browser would run.</summary>
    private static bool IsKnown(ReadOnlySpan<char> type)
    {
        ReadOnlySpan<string> known = ["application/json", "text/event-stream", "text/plain", "text/vtt", "application/x-subrip", "application/x-ndjson", "application/octet-stream"];
        foreach (var one in known)
        {
            if (type.Equals(one, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }

        return type.StartsWith("audio/", StringComparison.OrdinalIgnoreCase);
    }
}
