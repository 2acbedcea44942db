using System.Text.Encodings.Web;
using System.Text.Json;

namespace LlmGateway.Gateway.Requests;

/// <summary>An answer that says no: status, a code from the contract's closed list, and a sentence that names the thing and the cure.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">Stable, for programs.</param>
/// <param name="Message">For people. Never holds text from a prompt, a completion or a backend.</param>
internal sealed record ApiError(int Status, string Code, string Message)
{
    /// <summary>An apostrophe stays one: this is JSON for programs and terminals, never part of a page.</summary>
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The request's field that is wrong, or null.</summary>
    public string? Param { get; init; }

    /// <summary>When trying again makes sense.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>OpenAI's <c>type</c>.</summary>
    public string Type => Status switch
    {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        >= 500 => "server_error",
        _ => "invalid_request_error",
    };

    /// <summary>Anthropic's <c>type</c>.</summary>
    public string AnthropicType => Status switch
    {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        >= 500 => "api_error",
        _ => "invalid_request_error",
    };

    /// <summary>The body in the shape of the API that was called.</summary>
    public byte[] ToJson(ApiDialect dialect, string? requestId)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Readable))
        {
            json.WriteStartObject();
            if (dialect == ApiDialect.Messages)
            {
                json.WriteString("type", "error");
                json.WriteStartObject("error");
                json.WriteString("type", AnthropicType);
                json.WriteString("message", Message);
                json.WriteEndObject();
                json.WriteString("request_id", requestId);
            }
            else
            {
                WriteOpenAi(json);
            }

            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private void WriteOpenAi(Utf8JsonWriter json)
    {
        json.WriteStartObject("error");
        json.WriteString("message", Message);
        json.WriteString("type", Type);
        json.WriteString("code", Code);
        json.WriteString("param", Param);
        json.WriteEndObject();
    }
}

/// <summary>The contract's table of errors.</summary>
internal static class ApiErrors
{
    private static readonly TimeSpan Soonest = TimeSpan.FromSeconds(1);

    public static ApiError InvalidJson(string why) => new(400, "invalid_json", $"The request body is not valid JSON: {why}.");

    public static ApiError MalformedBody { get; } = new(400, "invalid_json", "The request body is not framed as HTTP wants it.");

    public static ApiError MissingModel { get; } =
        new(400, "missing_model", "The request names no model, and more than one is configured: set \"model\"; GET /v1/models lists them.") { Param = "model" };

    public static ApiError InvalidParameter(string param, string why) => new(400, "invalid_parameter", $"'{param}' {why}.") { Param = param };

    public static ApiError InvalidQuery { get; } = new(400, "invalid_parameter", "A value in the query is not of the kind that stands there.");

    public static ApiError InvalidKey { get; } =
        new(401, "invalid_api_key", "A valid API key is needed: send it as 'Authorization: Bearer sk-…' or as 'x-api-key'.");

    public static ApiError AdminKeyMissing { get; } =
        new(401, "invalid_api_key", "/upstream/ needs a key with \"Admin\": true, and none is configured; llm-gateway key NAME makes one.");

    public static ApiError ModelNotAllowed(string model) => new(403, "model_not_allowed", $"This API key may not use the model '{model}'.") { Param = "model" };

    public static ApiError AdminKeyNeeded { get; } =
        new(403, "model_not_allowed", "Only a key with \"Admin\": true reaches a backend past the API.");

    public static ApiError OriginNotAllowed { get; } =
        new(403, "origin_not_allowed", "Requests from this web origin are refused; Gateway:CorsOrigins lists those that are allowed.");

    public static ApiError ModelNotFound { get; } =
        new(404, "model_not_found", "No such model is configured here; GET /v1/models lists those that are.") { Param = "model" };

    public static ApiError UnknownEndpoint { get; } = new(404, "unknown_endpoint", "This gateway has no such endpoint.");

    public static ApiError NotOffered(string model) => new(
        404, "unknown_endpoint", $"The backend of '{model}' does not offer this endpoint (llama-server needs --embeddings for embeddings, --reranking for reranking).");

    public static ApiError UpgradeNotOffered { get; } =
        new(400, "invalid_parameter", "WebSockets and other upgrades are not offered: send a plain request, with \"stream\": true for events.") { Param = "Upgrade" };

    public static ApiError MethodNotAllowed { get; } = new(405, "method_not_allowed", "This endpoint does not take that HTTP method.");

    public static ApiError RequestTimeout { get; } = new(408, "request_timeout", "The request did not come whole in time; Gateway:BodyTimeout is the limit.");

    public static ApiError BodyTooLarge(long limit) =>
        new(413, "body_too_large", $"The request body is larger than {limit} bytes, the limit of Gateway:MaxRequestBody.");

    public static ApiError UnsupportedEncoding { get; } =
        new(415, "unsupported_encoding", "Request bodies in another encoding than chunked or identity are not taken: send the body without Content-Encoding.");

    public static ApiError HostNotAllowed { get; } =
        new(421, "host_not_allowed", "The Host header names a host that this gateway does not answer for; Gateway:Hosts adds names.");

    public static ApiError RequestQuarantined { get; } =
        new(422, "request_quarantined", "This request was alone on two backends that crashed on it; it is not tried a third time.");

    public static ApiError QueueFull(TimeSpan retryAfter) =>
        new(429, "queue_full", "Too many requests are waiting for this model; try again later.") { RetryAfter = retryAfter };

    public static ApiError QueueTimeout(TimeSpan retryAfter) =>
        new(429, "queue_timeout", "No slot became free in time; try again later.") { RetryAfter = retryAfter };

    public static ApiError DeadlineUnreachable(TimeSpan retryAfter) =>
        new(429, "deadline_unreachable", "The wait for a slot would be too long for this request to be served in time; try again later.") { RetryAfter = retryAfter };

    public static ApiError RateLimited(TimeSpan retryAfter) =>
        new(429, "rate_limited", "This API key has used up its requests or tokens for now; try again later.") { RetryAfter = retryAfter };

    public static ApiError KeyConcurrencyLimited(TimeSpan retryAfter) =>
        new(429, "concurrency_limited", "This API key has too many requests in the gateway at once; try again later.") { RetryAfter = retryAfter };

    public static ApiError ConcurrencyLimited(TimeSpan retryAfter) =>
        new(429, "concurrency_limited", "Too many requests are in the gateway at once; try again later.") { RetryAfter = retryAfter };

    public static ApiError TooManyWrongKeys(TimeSpan retryAfter) =>
        new(429, "rate_limited", "Too many wrong API keys have come from this address; try again later.") { RetryAfter = retryAfter > Soonest ? retryAfter : Soonest };

    public static ApiError BackendFailed { get; } =
        new(502, "backend_failed", "The backend failed before the first byte of the answer, and trying again did not help.");

    public static ApiError NoBackend(TimeSpan retryAfter) =>
        new(503, "no_backend", "No backend of this model can take work now.") { RetryAfter = retryAfter };

    public static ApiError ModelLoadingFailed(TimeSpan retryAfter) =>
        new(503, "model_loading_failed", "This model could not be loaded; the gateway's status page says why.") { RetryAfter = retryAfter };

    /// <param name="why">With the numbers.</param>
    /// <param name="retryAfter">When there may be room; by default as for a thing that only another configuration changes.</param>
    public static ApiError InsufficientMemory(string why, TimeSpan? retryAfter = null) =>
        new(503, "insufficient_memory", $"There is not enough memory for this model: {why}.") { RetryAfter = retryAfter ?? TimeSpan.FromSeconds(30) };

    public static ApiError ShuttingDown { get; } =
        new(503, "shutting_down", "The gateway is shutting down.") { RetryAfter = TimeSpan.FromSeconds(5) };

    public static ApiError BackendTimeout { get; } =
        new(504, "backend_timeout", "The backend took the request but sent no first token in time.");

    public static ApiError StreamSilent { get; } =
        new(504, "backend_timeout", "The backend went silent in the middle of this answer; what was sent so far is incomplete.");

    public static ApiError StreamBroken { get; } =
        new(502, "stream_broken", "The backend broke off in the middle of this answer; what was sent so far is incomplete.");

    public static ApiError Internal { get; } = new(500, "internal_error", "The gateway failed on this request; its log says why, under this request id.");
}
