using System.Text.Json;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Which errors of a backend the client may see as they are. Pure.</summary>
internal static class BackendRefusal
{
    /// <summary>The same in the shape that the API's clients read: Anthropic's where llama-server answers in OpenAI's.</summary>
    /// <param name="dialect">The API.</param>
    /// <param name="status">The answer's status.</param>
    /// <param name="body">What <see cref="Presentable"/> has let pass.</param>
    /// <param name="requestId">The request's id, which that shape has in it.</param>
    public static byte[] InShapeOf(ApiDialect dialect, int status, byte[] body, string requestId)
    {
        if (dialect != ApiDialect.Messages)
        {
            return body;
        }

        using var document = JsonDocument.Parse(body);
        if (document.RootElement.TryGetProperty("type", out var type) && type.ValueKind == JsonValueKind.String && type.ValueEquals("error"u8))
        {
            return body;
        }

        string message;
        try
        {
            message = document.RootElement.GetProperty("error").GetProperty("message").ToString();
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair, say.
            message = "The backend refused the request.";
        }

        return new ApiError(status, "backend_refused", message).ToJson(dialect, requestId);
    }

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
