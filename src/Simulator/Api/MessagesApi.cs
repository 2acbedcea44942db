using System.Text;
using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>Anthropic's messages.</summary>
internal static class MessagesApi
{
    public static Task CreateAsync(Exchange exchange)
    {
        var prompt = Prompts.Tokens(Render(exchange.Body));
        var request = AnswerRequest.Create(exchange, [prompt], isChat: true, "max_tokens");
        return Answer.SendAsync(exchange, request, new MessagesDialect(request, exchange.Simulation));
    }

    public static Task CountAsync(Exchange exchange) => TokenApi.CountAsync(exchange, Render(exchange.Body), withObject: false);

    private static string Render(JsonElement body)
    {
        if (!body.TryGet("messages", out var messages))
        {
            throw ApiException.Server("'messages' is required");
        }

        var prompt = new StringBuilder();
        if (body.TryGet("system", out var system))
        {
            Prompts.Append(prompt, "system", Prompts.Content(system));
        }

        foreach (var message in messages.ValueKind == JsonValueKind.Array ? messages.EnumerateArray() : default)
        {
            Prompts.Append(prompt, message);
        }

        return prompt.Append("<|assistant|>\n").ToString();
    }
}

/// <summary>Anthropic's message and its events.</summary>
internal sealed class MessagesDialect(AnswerRequest request, Simulation simulation) : Dialect(request, simulation)
{
    private readonly string _id = Exchange.NewId("chatcmpl-");

    public override void Open(SseWriter events, Generation generation)
    {
        events.Event(
            json =>
            {
                json.WriteStartObject();
                json.WriteString("type", "message_start");
                json.WriteStartObject("message");
                Message(json, generation, null, 0, static _ => { });
                json.WriteEndObject();
                json.WriteEndObject();
            },
            "message_start");
        events.Event(
            static json =>
            {
                json.WriteStartObject();
                json.WriteString("type", "content_block_start");
                json.WriteNumber("index", 0);
                json.WriteStartObject("content_block");
                json.WriteString("type", "text");
                json.WriteString("text", "");
                json.WriteEndObject();
                json.WriteEndObject();
            },
            "content_block_start");
    }

    public override void Token(SseWriter events, Generation generation, string text) => events.Event(
        json =>
        {
            json.WriteStartObject();
            json.WriteString("type", "content_block_delta");
            json.WriteNumber("index", 0);
            json.WriteStartObject("delta");
            json.WriteString("type", "text_delta");
            json.WriteString("text", text);
            json.WriteEndObject();
            json.WriteEndObject();
        },
        "content_block_delta");

    public override void Close(SseWriter events, Generation generation)
    {
        events.Event(
            static json =>
            {
                json.WriteStartObject();
                json.WriteString("type", "content_block_stop");
                json.WriteNumber("index", 0);
                json.WriteEndObject();
            },
            "content_block_stop");
        events.Event(
            json =>
            {
                json.WriteStartObject();
                json.WriteString("type", "message_delta");
                json.WriteStartObject("delta");
                Stop(json, generation);
                json.WriteEndObject();
                json.WriteStartObject("usage");
                json.WriteNumber("output_tokens", generation.Predicted);
                json.WriteEndObject();
                json.WriteEndObject();
            },
            "message_delta");
        events.Event(
            static json =>
            {
                json.WriteStartObject();
                json.WriteString("type", "message_stop");
                json.WriteEndObject();
            },
            "message_stop");
    }

    public override void Whole(Utf8JsonWriter json)
    {
        var generation = Request.Generations[0];
        json.WriteStartObject();
        Message(json, generation, generation, generation.Predicted, json =>
        {
            json.WriteStartObject();
            json.WriteString("type", "text");
            json.WriteString("text", generation.Text.ToString());
            json.WriteEndObject();
        });
        json.WriteEndObject();
    }

    private void Message(Utf8JsonWriter json, Generation generation, Generation? ended, int output, Action<Utf8JsonWriter> content)
    {
        json.WriteString("id", _id);
        json.WriteString("type", "message");
        json.WriteString("role", "assistant");
        json.WriteStartArray("content");
        content(json);
        json.WriteEndArray();
        json.WriteString("model", Model);
        Stop(json, ended);
        json.WriteStartObject("usage");
        json.WriteNumber("cache_read_input_tokens", generation.CachedTokens);
        json.WriteNumber("input_tokens", generation.Prompt.Length - generation.CachedTokens);
        json.WriteNumber("output_tokens", output);
        json.WriteEndObject();
    }

    private static void Stop(Utf8JsonWriter json, Generation? ended)
    {
        json.WriteString("stop_reason", ended?.Reason switch
        {
            null => null,
            StopReason.Limit => "max_tokens",
            StopReason.Word => "stop_sequence",
            _ => "end_turn",
        });
        json.WriteString("stop_sequence", ended?.Reason == StopReason.Word ? ended.StopWord : null);
    }
}
