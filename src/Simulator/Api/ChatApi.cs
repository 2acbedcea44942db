using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>OpenAI's chat completions.</summary>
internal static class ChatApi
{
    public static Task CompleteAsync(Exchange exchange)
    {
        var prompt = Prompts.Tokens(Prompts.Chat(exchange.Body));
        var request = AnswerRequest.Create(exchange, [prompt], isChat: true, "max_completion_tokens", "max_tokens", "n_predict");
        return Answer.SendAsync(exchange, request, new ChatDialect(request, exchange.Simulation));
    }

    public static Task CountAsync(Exchange exchange) => TokenApi.CountAsync(exchange, Prompts.Chat(exchange.Body), withObject: true);
}

/// <summary>Chat completions and their chunks.</summary>
internal sealed class ChatDialect(AnswerRequest request, Simulation simulation) : Dialect(request, simulation)
{
    private readonly string _id = Exchange.NewId("chatcmpl-");

    public override void Open(SseWriter events, Generation generation) => Delta(events, generation, Role);

    public override void Token(SseWriter events, Generation generation, string text) => Delta(
        events,
        generation,
        json => json.WriteString("content", text),
        withTimings: Request.TimingsPerToken);

    public override void Close(SseWriter events, Generation generation) =>
        Delta(events, generation, static _ => { }, FinishReason(generation), withTimings: !Request.IncludeUsage);

    public override void PromptProgress(SseWriter events, Generation generation) => Delta(
        events,
        generation,
        Role,
        withTimings: Request.TimingsPerToken,
        extra: json =>
        {
            json.WriteStartObject("prompt_progress");
            json.WriteNumber("total", generation.Prompt.Length);
            json.WriteNumber("cache", generation.CachedTokens);
            json.WriteNumber("processed", generation.EvaluatedTokens == 0 ? 0 : generation.CachedTokens + generation.EvaluatedTokens);
            json.WriteNumber("time_ms", (long)generation.PromptMilliseconds);
            json.WriteEndObject();
        });

    public override void Done(SseWriter events)
    {
        if (Request.IncludeUsage)
        {
            events.Event(json =>
            {
                json.WriteStartObject();
                json.WriteStartArray("choices");
                json.WriteEndArray();
                Head(json);
                Usage(json);
                Timings(json, Request.Generations[0]);
                json.WriteEndObject();
            });
        }

        events.Raw("data: [DONE]\n\n"u8);
    }

    public override void Whole(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartArray("choices");
        foreach (var generation in Request.Generations)
        {
            json.WriteStartObject();
            json.WriteString("finish_reason", FinishReason(generation));
            json.WriteNumber("index", generation.Index);
            json.WriteStartObject("message");
            json.WriteString("role", "assistant");
            json.WriteString("content", generation.Text.ToString());
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("created", Created);
        json.WriteString("model", Model);
        json.WriteString("system_fingerprint", Simulation.Build);
        json.WriteString("object", "chat.completion");
        Usage(json);
        json.WriteString("id", _id);
        Timings(json, Request.Generations[0]);
        json.WriteEndObject();
    }

    private static void Role(Utf8JsonWriter json)
    {
        json.WriteString("role", "assistant");
        json.WriteNull("content");
    }

    private void Delta(
        SseWriter events,
        Generation generation,
        Action<Utf8JsonWriter> delta,
        string? finish = null,
        bool withTimings = false,
        Action<Utf8JsonWriter>? extra = null) => events.Event(json =>
    {
        json.WriteStartObject();
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteString("finish_reason", finish);
        json.WriteNumber("index", generation.Index);
        json.WriteStartObject("delta");
        delta(json);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
        Head(json);
        if (withTimings)
        {
            Timings(json, generation);
        }

        extra?.Invoke(json);
        json.WriteEndObject();
    });

    private void Head(Utf8JsonWriter json)
    {
        json.WriteNumber("created", Created);
        json.WriteString("id", _id);
        json.WriteString("model", Model);
        json.WriteString("system_fingerprint", Simulation.Build);
        json.WriteString("object", "chat.completion.chunk");
    }
}
