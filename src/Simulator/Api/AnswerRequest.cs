using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>What a request that generates text asks for, whatever API it came by.</summary>
internal sealed record AnswerRequest
{
    public required IReadOnlyList<Generation> Generations { get; init; }

    public bool Stream { get; init; }

    /// <summary>Usage in an event of its own at the end.</summary>
    public bool IncludeUsage { get; init; }

    public bool ReturnProgress { get; init; }

    public bool TimingsPerToken { get; init; }

    public bool ReturnTokens { get; init; }

    /// <summary>The answer is a list, as the prompt was.</summary>
    public bool IsList { get; init; }

    /// <summary>Checks sizes and options, and makes a generation of each prompt and choice.</summary>
    /// <exception cref="ApiException">The request cannot be served, for the reasons of the real server.</exception>
    public static AnswerRequest Create(Exchange exchange, IReadOnlyList<int[]> prompts, bool isChat, params ReadOnlySpan<string> limitFields)
    {
        var (body, settings) = (exchange.Body, exchange.Simulation.Settings);
        var most = -1;
        foreach (var field in limitFields)
        {
            if (body.TryGet(field, out _))
            {
                // 0 still gives one token in the real server.
                most = body.Number(field, -1, least: -1);
                most = most == 0 ? 1 : most;
                break;
            }
        }

        var choices = body.Number("n", 1, 1, settings.SlotCount);
        var stream = body.Flag("stream");
        var slot = body.Number("id_slot", -1);
        if (body.Text("grammar") is { Length: > 0 } grammar && !grammar.Contains("::=", StringComparison.Ordinal))
        {
            throw ApiException.Invalid("Failed to initialize samplers: failed to parse grammar");
        }

        var generations = new List<Generation>(prompts.Count * choices);
        foreach (var prompt in prompts)
        {
            CheckContext(prompt.Length, settings.SlotContext);
            for (var choice = 0; choice < choices; choice++)
            {
                generations.Add(new Generation(generations.Count, prompt)
                {
                    MaxTokens = most,
                    StopWords = StopWords(body),
                    CachePrompt = body.Flag("cache_prompt", settings.CachePrompt),
                    WantedSlot = slot,
                    Stream = stream,
                    IsChat = isChat,
                });
            }
        }

        return new AnswerRequest
        {
            Generations = generations,
            Stream = stream,
            IncludeUsage = body.TryGet("stream_options", out var options) && options.Flag("include_usage"),
            ReturnProgress = body.Flag("return_progress"),
            TimingsPerToken = body.Flag("timings_per_token"),
            ReturnTokens = body.Flag("return_tokens"),
        };
    }

    public static void CheckContext(int tokens, int context)
    {
        if (tokens >= context)
        {
            throw new ApiException(400, "exceed_context_size_error", $"request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it")
            {
                Extra = json =>
                {
                    json.WriteNumber("n_prompt_tokens", tokens);
                    json.WriteNumber("n_ctx", context);
                },
            };
        }
    }

    private static string[] StopWords(JsonElement body)
    {
        if (!body.TryGet("stop", out var stop) && !body.TryGet("stop_sequences", out stop))
        {
            return [];
        }

        return stop.ValueKind switch
        {
            JsonValueKind.String => [stop.GetString()!],
            JsonValueKind.Array => [.. stop.EnumerateArray().Where(s => s.ValueKind == JsonValueKind.String).Select(s => s.GetString()!)],
            _ => [],
        };
    }
}
