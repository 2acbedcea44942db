using System.Collections.Frozen;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>The request that lets another backend say the rest of an answer. Pure.</summary>
/// <remarks>
/// llama-server goes on from an assistant's message that ends the conversation, and from any prompt. Only requests whose every field is known to
/// mean the same for a continuation are taken: no tools, no grammars, no probabilities, no second choice, nothing unknown.
/// </remarks>
internal static class ContinuationRequest
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly string[] TokenLimits = ["max_tokens", "max_completion_tokens", "n_predict"];

    /// <summary>Fields that a continuation takes over as they are.</summary>
    private static readonly FrozenSet<string> Kept =
    [
        "model", "messages", "prompt", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
        "dynatemp_range", "dynatemp_exponent", "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length",
        "dry_penalty_last_n", "dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta", "seed", "stop", "logit_bias", "ignore_eos", "samplers", "cache_prompt", "user",
        "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls", .. TokenLimits,
    ];

    /// <summary>Fields that ask for what can't be continued, unless they have this value; null is always fine.</summary>
    private static readonly FrozenDictionary<string, string[]> Harmless = new Dictionary<string, string[]>
    {
        ["n"] = ["1"],
        ["best_of"] = ["1"],
        ["n_probs"] = ["0"],
        ["top_logprobs"] = ["0"],
        ["logprobs"] = ["false", "0"],
        ["echo"] = ["false"],
        ["tools"] = ["[]"],
        ["tool_choice"] = ["\"none\"", "\"auto\""],
        ["response_format"] = ["{\"type\":\"text\"}"],
        ["return_progress"] = ["false"],
        ["timings_per_token"] = ["false"],
        ["suffix"] = ["\"\""],
    }.ToFrozenDictionary();

    /// <summary>True for APIs whose streams are plain text.</summary>
    public static bool IsPossible(InferenceEndpoint endpoint) => endpoint.Name is "chat_completions" or "completions" or "completion";

    /// <summary>The body, or null when this request can't be continued.</summary>
    /// <param name="endpoint">What was called.</param>
    /// <param name="body">The client's body.</param>
    /// <param name="sent">What has been sent of the answer.</param>
    /// <param name="tokens">Tokens of that.</param>
    public static byte[]? Create(InferenceEndpoint endpoint, ReadOnlyMemory<byte> body, SentText sent, int tokens)
    {
        try
        {
            return TryCreate(endpoint, body, sent, tokens);
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException)
        {
            // A key that stands twice, a role that is no text: nothing that could be said twice with one meaning.
            return null;
        }
    }

    private static byte[]? TryCreate(InferenceEndpoint endpoint, ReadOnlyMemory<byte> body, SentText sent, int tokens)
    {
        if (!sent.CanContinue || sent.Text.IsEmpty || JsonNode.Parse(body.Span) is not JsonObject request || !request.All(IsHarmless))
        {
            return null;
        }

        var text = System.Text.Encoding.UTF8.GetString(sent.Text);
        if (!(endpoint.Name == "chat_completions" ? AddMessage(request, text) : AddToPrompt(request, text)))
        {
            return null;
        }

        foreach (var name in TokenLimits)
        {
            if (request[name] is JsonValue value && value.TryGetValue(out int limit) && limit >= 0)
            {
                if (limit <= tokens)
                {
                    return null;
                }

                request[name] = limit - tokens;
            }
        }

        return System.Text.Encoding.UTF8.GetBytes(request.ToJsonString(Readable));
    }

    private static bool AddMessage(JsonObject request, string text)
    {
        if (request["messages"] is not JsonArray { Count: > 0 } messages || messages[^1] is not JsonObject last || (string?)(last["role"] as JsonValue) == "assistant")
        {
            return false;
        }

        messages.Add(new JsonObject { ["role"] = "assistant", ["content"] = text });
        return true;
    }

    private static bool AddToPrompt(JsonObject request, string text)
    {
        if (request["prompt"] is not JsonValue prompt || !prompt.TryGetValue(out string? before))
        {
            return false;
        }

        request["prompt"] = before + text;
        return true;
    }

    private static bool IsHarmless(KeyValuePair<string, JsonNode?> field) =>
        field.Value is null || Kept.Contains(field.Key) || (Harmless.TryGetValue(field.Key, out var values) && values.Contains(field.Value.ToJsonString()));
}
