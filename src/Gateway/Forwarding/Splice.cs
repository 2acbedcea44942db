using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Makes the events of a continuation events of the stream that it continues. Pure.</summary>
/// <param name="sent">What the first stream has said: its identity is kept, its role is not named again.</param>
/// <param name="sentTokens">Tokens that the client has already got.</param>
/// <param name="textTokens">Tokens of the same text in the continuation's prompt.</param>
/// <param name="body">The client's own request: what an answer repeats of it.</param>
internal sealed class Splice(SentText sent, int sentTokens, int textTokens, ReadOnlyMemory<byte> body)
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly StreamIdentity _identity = sent.Identity;

    private readonly bool _hasRole = sent.HasRole;

    /// <summary>The event as the client must see it; empty when it must not.</summary>
    /// <exception cref="IOException">It can't be told what it means: a key stands twice, say.</exception>
    public byte[] Rewrite(ReadOnlySpan<byte> oneEvent)
    {
        try
        {
            return TryRewrite(oneEvent);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            throw new IOException("An event of the continuation has no one meaning.", e);
        }
    }

    private byte[] TryRewrite(ReadOnlySpan<byte> oneEvent)
    {
        if (EventFraming.IsComment(oneEvent) || !EventFraming.TryGetData(oneEvent, out var data) || data is not [(byte)'{', ..] || StreamEnd.IsError(oneEvent))
        {
            return oneEvent.ToArray();
        }

        JsonObject json;
        try
        {
            if (JsonNode.Parse(data) is not JsonObject parsed)
            {
                return oneEvent.ToArray();
            }

            json = parsed;
        }
        catch (JsonException)
        {
            return oneEvent.ToArray();
        }

        if (_hasRole && IsRoleOnly(json))
        {
            return [];
        }

        Keep(json, "id", _identity.Id);
        Keep(json, "created", _identity.Created);
        Keep(json, "model", _identity.Model);
        Keep(json, "system_fingerprint", _identity.Fingerprint);
        AddUp(json);
        return Encoding.UTF8.GetBytes($"data: {json.ToJsonString(Readable)}\n\n");
    }

    private static bool IsRoleOnly(JsonObject json) =>
        json["choices"] is JsonArray { Count: 1 } choices && choices[0] is JsonObject choice && choice["finish_reason"] is null
        && choice["delta"] is JsonObject delta && delta.ContainsKey("role") && delta.All(field => field.Key == "role" || field.Value is null);

    private static void Keep(JsonObject json, string name, string? value)
    {
        if (value is not null && json.ContainsKey(name))
        {
            json[name] = JsonNode.Parse(value);
        }
    }

    /// <summary>Counts what was said before as said, and not as asked.</summary>
    private void AddUp(JsonObject json)
    {
        if (json["usage"] is JsonObject usage)
        {
            var prompt = Count(usage, "prompt_tokens") - textTokens;
            var completion = Count(usage, "completion_tokens") + sentTokens;
            (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) = (prompt, completion, prompt + completion);
            if (usage["prompt_tokens_details"] is JsonObject details && details.ContainsKey("cached_tokens"))
            {
                details["cached_tokens"] = Math.Min(Count(details, "cached_tokens"), prompt);
            }
        }

        if (json["timings"] is JsonObject timings)
        {
            // Only the counts: no server has measured the whole.
            var prompt = Count(timings, "prompt_n") + Count(timings, "cache_n") - textTokens;
            var cached = Math.Min(Count(timings, "cache_n"), prompt);
            json["timings"] = new JsonObject { ["cache_n"] = cached, ["prompt_n"] = prompt - cached, ["predicted_n"] = Count(timings, "predicted_n") + sentTokens };
        }

        if (json.ContainsKey("tokens_predicted"))
        {
            json["tokens_predicted"] = Count(json, "tokens_predicted") + sentTokens;
            json["tokens_evaluated"] = Count(json, "tokens_evaluated") - textTokens;
        }

        Restore(json);
    }

    /// <summary>llama.cpp's own last event repeats prompt and limits: the client's, not the continuation's.</summary>
    private void Restore(JsonObject json)
    {
        if (json.ContainsKey("prompt") && JsonNode.Parse(body.Span) is JsonObject asked)
        {
            json["prompt"] = asked["prompt"]?.DeepClone();
            if (json["generation_settings"] is JsonObject settings && (asked["n_predict"] ?? asked["max_tokens"]) is { } limit)
            {
                foreach (var name in (ReadOnlySpan<string>)["n_predict", "max_tokens"])
                {
                    if (settings.ContainsKey(name))
                    {
                        settings[name] = limit.DeepClone();
                    }
                }
            }
        }
    }

    private static long Count(JsonObject json, string name) => json[name] is JsonValue value && value.TryGetValue(out long count) ? count : 0;
}
