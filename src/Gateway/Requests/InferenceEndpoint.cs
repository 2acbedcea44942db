using System.Collections.Frozen;
using System.Collections.Immutable;

namespace LlmGateway.Gateway.Requests;

/// <summary>Which API an endpoint belongs to: it decides the shape of errors and how a stream ends.</summary>
internal enum ApiDialect
{
    /// <summary>OpenAI chat and completions: <c>data:</c> events up to <c>[DONE]</c>.</summary>
    OpenAi,

    /// <summary>OpenAI responses: named events up to <c>response.completed</c>.</summary>
    Responses,

    /// <summary>Anthropic messages: named events up to <c>message_stop</c>.</summary>
    Messages,

    /// <summary>llama.cpp's own: <c>data:</c> events up to one with <c>"stop":true</c>.</summary>
    Native,
}

/// <summary>Which field of a body makes one request take several slots.</summary>
internal enum FanOut
{
    None,

    /// <summary><c>n</c>.</summary>
    Choices,

    /// <summary>A list of prompts, each <c>n</c> times.</summary>
    Prompts,

    /// <summary>A list of inputs to embed.</summary>
    Inputs,

    /// <summary>A list of documents to rank.</summary>
    Documents,
}

/// <summary>One inference endpoint of llama-server.</summary>
/// <param name="Name">Its name in metrics.</param>
/// <param name="Dialect">Whose API it is.</param>
/// <param name="FanOut">What makes it take several slots.</param>
/// <param name="Paths">The path and its aliases; a backend is asked on the path that the client used.</param>
internal sealed record InferenceEndpoint(string Name, ApiDialect Dialect, FanOut FanOut, params ImmutableArray<string> Paths)
{
    /// <summary>False for calls that only look at text: they go to any ready backend at once and never queue.</summary>
    public bool TakesSlot { get; init; } = true;

    /// <summary>True where the body is a multipart form.</summary>
    public bool IsForm { get; init; }

    /// <summary>All endpoints: whatever is not here is 404.</summary>
    public static ImmutableArray<InferenceEndpoint> All { get; } =
    [
        new("chat_completions", ApiDialect.OpenAi, FanOut.Choices, "/v1/chat/completions", "/chat/completions"),
        new("completions", ApiDialect.OpenAi, FanOut.Prompts, "/v1/completions"),
        new("embeddings", ApiDialect.OpenAi, FanOut.Inputs, "/v1/embeddings", "/embeddings"),
        new("rerank", ApiDialect.OpenAi, FanOut.Documents, "/v1/rerank", "/v1/reranking", "/rerank", "/reranking"),
        new("responses", ApiDialect.Responses, FanOut.None, "/v1/responses", "/responses"),
        new("messages", ApiDialect.Messages, FanOut.None, "/v1/messages"),
        new("transcriptions", ApiDialect.OpenAi, FanOut.None, "/v1/audio/transcriptions", "/audio/transcriptions") { IsForm = true },
        new("completion", ApiDialect.Native, FanOut.Prompts, "/completion", "/completions"),
        new("infill", ApiDialect.Native, FanOut.Choices, "/infill"),
        new("embedding", ApiDialect.Native, FanOut.Inputs, "/embedding"),
        new("count_tokens", ApiDialect.Messages, FanOut.None, "/v1/messages/count_tokens") { TakesSlot = false },
        new("input_tokens", ApiDialect.OpenAi, FanOut.None,
            "/v1/chat/completions/input_tokens", "/chat/completions/input_tokens", "/v1/responses/input_tokens", "/responses/input_tokens") { TakesSlot = false },
        new("tokenize", ApiDialect.Native, FanOut.None, "/tokenize") { TakesSlot = false },
        new("detokenize", ApiDialect.Native, FanOut.None, "/detokenize") { TakesSlot = false },
        new("apply_template", ApiDialect.Native, FanOut.None, "/apply-template") { TakesSlot = false },
    ];

    private static readonly FrozenDictionary<string, InferenceEndpoint> ByPath =
        All.SelectMany(endpoint => endpoint.Paths.Select(path => (path, endpoint))).ToFrozenDictionary(pair => pair.path, pair => pair.endpoint, StringComparer.Ordinal);

    /// <summary>The endpoint of a path in its own spelling, or null.</summary>
    public static InferenceEndpoint? Find(string path) => ByPath.GetValueOrDefault(path);
}
