namespace LlmGateway.Gateway.Forwarding;

/// <summary>Which answers of status 2xx can be passed to a client at all. Pure.</summary>
internal static class BackendHead
{
    /// <summary>Why this answer can't be passed on, or null when it can.</summary>
    /// <remarks>The client sees no header of a backend but the type: whatever would need another one to be understood is no answer.</remarks>
    public static string? Fault(HttpResponseMessage response)
    {
        var headers = response.Content.Headers;
        if ((int)response.StatusCode is 204 or 205)
        {
            return "It is empty.";
        }

        if (headers.ContentEncoding.Any(coding => !coding.Equals("identity", StringComparison.OrdinalIgnoreCase)))
        {
            return "It is compressed although nobody asked for that.";
        }

        if (response.Headers.TransferEncodingChunked == true && headers.NonValidated.Contains("Content-Length"))
        {
            return "It has both a length and chunks.";
        }

        if (headers.ContentLength is null && headers.NonValidated.Contains("Content-Length"))
        {
            return "Its length is no number.";
        }

        if (headers.ContentType?.MediaType is { } type ? !IsKnown(type) : headers.NonValidated.Contains("Content-Type"))
        {
            return "Its type is not one that an inference server has reason to send.";
        }

        return null;
    }

    /// <summary>Types of inference answers; never one that a browser would run.</summary>
    private static bool IsKnown(string type)
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
