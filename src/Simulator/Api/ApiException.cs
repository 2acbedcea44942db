using System.Text.Json;

namespace LlmGateway.Simulator.Api;

/// <summary>An answer with llama-server's error body.</summary>
internal sealed class ApiException(int status, string type, string message) : Exception(message)
{
    public int Status { get; } = status;

    public string Type { get; } = type;

    /// <summary>Further members of the error object.</summary>
    public Action<Utf8JsonWriter>? Extra { get; init; }

    /// <summary>401, 404 and the 503 of loading come from another layer of the real server, which orders the members differently.</summary>
    public bool MessageFirst { get; init; }

    /// <summary>403 has no code member.</summary>
    public bool WithoutCode { get; init; }

    public static ApiException Invalid(string message) => new(400, "invalid_request_error", message);

    public static ApiException Server(string message) => new(500, "server_error", message);

    public static ApiException NotSupported(string message) => new(501, "not_supported_error", message);

    public static ApiException NotFound() => new(404, "not_found_error", "File Not Found") { MessageFirst = true };

    public static ApiException Loading() => new(503, "unavailable_error", "Loading model") { MessageFirst = true };

    public static ApiException InvalidKey() => new(401, "authentication_error", "Invalid API Key") { MessageFirst = true };

    public static ApiException Disabled() => new(403, "feature_disabled", "this feature is disabled") { MessageFirst = true, WithoutCode = true };

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartObject("error");
        if (!MessageFirst)
        {
            json.WriteNumber("code", Status);
        }

        json.WriteString("message", Message);
        json.WriteString("type", Type);
        if (MessageFirst && !WithoutCode)
        {
            json.WriteNumber("code", Status);
        }

        Extra?.Invoke(json);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
