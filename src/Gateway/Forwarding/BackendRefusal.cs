using System.Text.Json;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Which errors of a backend the client may see as they are. Pure.</summary>
internal static class BackendRefusal
{
    /// <summary>The body when it is a client's error in the API's shape (a context overflow, say); null when the gateway must say it in its own words.</summary>
    /// <remarks>401 is about the gateway's own key, and 5xx may tell of the inside.</remarks>
    public static byte[]? Presentable(int status, ReadOnlyMemory<byte> body)
    {
        if (status is < 400 or > 499 or 401 or 403 or 407 or 429)
        {
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(body);
            return document.RootElement.ValueKind == JsonValueKind.Object
                && document.RootElement.TryGetProperty("error", out var error)
                && error.ValueKind == JsonValueKind.Object
                && error.TryGetProperty("message", out _)
                ? body.ToArray()
                : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
