using System.Text;
using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>OpenAI's responses.</summary>
internal static class ResponsesApi
{
    public static Task CreateAsync(Exchange exchange)
    {
        var prompt = Prompts.Tokens(Render(exchange.Body));
        var request = AnswerRequest.Create(exchange, [prompt], isChat: true, "max_output_tokens", "max_tokens");
        return Answer.SendAsync(exchange, request, new ResponsesDialect(request, exchange.Simulation));
    }

    public static Task CountAsync(Exchange exchange) => TokenApi.CountAsync(exchange, Render(exchange.Body), withObject: true);

    private static string Render(JsonElement body)
    {
        if (!body.TryGet("input", out var input))
        {
            throw ApiException.Invalid("'input' is required");
        }

        var prompt = new StringBuilder();
        if (body.Text("instructions") is { } instructions)
        {
            Prompts.Append(prompt, "system", instructions);
        }

        if (input.ValueKind == JsonValueKind.String)
        {
            Prompts.Append(prompt, "user", input.GetString()!);
        }
        else
        {
            foreach (var item in input.ValueKind == JsonValueKind.Array ? input.EnumerateArray() : default)
            {
                Prompts.Append(prompt, item);
            }
        }

        return prompt.Append("<|assistant|>\n").ToString();
    }
}

/// <summary>A response and its events.</summary>
internal sealed class ResponsesDialect(AnswerRequest request, Simulation simulation) : Dialect(request, simulation)
{
    private readonly string _id = Exchange.NewId("resp_");
    private readonly string _message = Exchange.NewId("msg_");

    public override void Open(SseWriter events, Generation generation)
    {
        foreach (var name in (ReadOnlySpan<string>)["response.created", "response.in_progress"])
        {
            Event(events, name, json =>
            {
                json.WriteStartObject("response");
                json.WriteString("id", _id);
                json.WriteString("object", "response");
                json.WriteString("status", "in_progress");
                json.WriteEndObject();
            });
        }

        Event(events, "response.output_item.added", json =>
        {
            json.WriteStartObject("item");
            json.WriteStartArray("content");
            json.WriteEndArray();
            json.WriteString("id", _message);
            json.WriteString("role", "assistant");
            json.WriteString("status", "in_progress");
            json.WriteString("type", "message");
            json.WriteEndObject();
        });
        Event(events, "response.content_part.added", json =>
        {
            json.WriteString("item_id", _message);
            json.WriteStartObject("part");
            json.WriteString("type", "output_text");
            json.WriteString("text", "");
            json.WriteEndObject();
        });
    }

    public override void Token(SseWriter events, Generation generation, string text) => Event(events, "response.output_text.delta", json =>
    {
        json.WriteString("item_id", _message);
        json.WriteString("delta", text);
    });

    public override void Close(SseWriter events, Generation generation)
    {
        var text = generation.Text.ToString();
        Event(events, "response.output_text.done", json =>
        {
            json.WriteString("item_id", _message);
            json.WriteString("text", text);
        });
        Event(events, "response.content_part.done", json =>
        {
            json.WriteString("item_id", _message);
            json.WritePropertyName("part");
            Part(json, text);
        });
        Event(events, "response.output_item.done", json =>
        {
            json.WritePropertyName("item");
            Item(json, text);
        });
        Event(events, "response.completed", json =>
        {
            json.WriteStartObject("response");
            Response(json, generation, text);
            json.WriteEndObject();
            Timings(json, generation);
        });
    }

    public override void Whole(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteNumber("completed_at", Created);
        Response(json, Request.Generations[0], Request.Generations[0].Text.ToString());
        json.WriteEndObject();
    }

    private static void Event(SseWriter events, string name, Action<Utf8JsonWriter> write) => events.Event(
        json =>
        {
            json.WriteStartObject();
            json.WriteString("type", name);
            write(json);
            json.WriteEndObject();
        },
        name);

    private static void Part(Utf8JsonWriter json, string text)
    {
        json.WriteStartObject();
        json.WriteString("type", "output_text");
        json.WriteStartArray("annotations");
        json.WriteEndArray();
        json.WriteStartArray("logprobs");
        json.WriteEndArray();
        json.WriteString("text", text);
        json.WriteEndObject();
    }

    private void Item(Utf8JsonWriter json, string text)
    {
        json.WriteStartObject();
        json.WriteString("type", "message");
        json.WriteString("status", "completed");
        json.WriteString("id", _message);
        json.WriteStartArray("content");
        Part(json, text);
        json.WriteEndArray();
        json.WriteString("role", "assistant");
        json.WriteEndObject();
    }

    private void Response(Utf8JsonWriter json, Generation g, string text)
    {
        json.WriteString("id", _id);
        json.WriteString("object", "response");
        json.WriteNumber("created_at", Created);
        json.WriteString("status", "completed");
        json.WriteString("model", Model);
        json.WriteStartArray("output");
        Item(json, text);
        json.WriteEndArray();
        json.WriteStartObject("usage");
        json.WriteNumber("input_tokens", g.Prompt.Length);
        json.WriteNumber("output_tokens", g.Predicted);
        json.WriteNumber("total_tokens", g.Prompt.Length + g.Predicted);
        json.WriteStartObject("input_tokens_details");
        json.WriteNumber("cached_tokens", g.CachedTokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
