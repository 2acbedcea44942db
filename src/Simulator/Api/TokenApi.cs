using System.Text;
using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>Tokens, templates and counts: nothing here takes a slot.</summary>
internal static class TokenApi
{
    public static Task TokenizeAsync(Exchange exchange)
    {
        var body = exchange.Body;
        var tokens = new List<int>();
        if (body.TryGet("content", out var content))
        {
            if (body.Flag("add_special"))
            {
                tokens.Add(Tokenizer.Begin);
            }

            Tokenizer.Encode(Prompts.Content(content), tokens);
        }

        var withPieces = body.Flag("with_pieces");
        return exchange.ReplyAsync(json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("tokens");
            foreach (var token in tokens)
            {
                if (withPieces)
                {
                    json.WriteStartObject();
                    json.WriteNumber("id", token);
                    Piece(json, token);
                    json.WriteEndObject();
                }
                else
                {
                    json.WriteNumberValue(token);
                }
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    public static Task DetokenizeAsync(Exchange exchange)
    {
        int[] tokens = exchange.Body.TryGet("tokens", out var list) && list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Where(t => t.ValueKind == JsonValueKind.Number).Select(t => t.GetInt32())]
            : [];
        return exchange.ReplyAsync(json =>
        {
            json.WriteStartObject();
            json.WriteString("content", Tokenizer.Decode(tokens));
            json.WriteEndObject();
        });
    }

    public static Task ApplyTemplateAsync(Exchange exchange)
    {
        var prompt = Prompts.Chat(exchange.Body);
        return exchange.ReplyAsync(json =>
        {
            json.WriteStartObject();
            json.WriteString("prompt", prompt);
            json.WriteEndObject();
        });
    }

    public static Task CountAsync(Exchange exchange, string prompt, bool withObject) => exchange.ReplyAsync(json =>
    {
        json.WriteStartObject();
        json.WriteNumber("input_tokens", Prompts.Tokens(prompt).Length);
        if (withObject)
        {
            json.WriteString("object", "response.input_tokens");
        }

        json.WriteEndObject();
    });

    // A token that is not text by itself is shown as its bytes.
    private static void Piece(Utf8JsonWriter json, int token)
    {
        var bytes = new List<byte>();
        Tokenizer.Decode(token, bytes);
        if (bytes is [> 0x7F])
        {
            json.WriteStartArray("piece");
            json.WriteNumberValue(bytes[0]);
            json.WriteEndArray();
        }
        else
        {
            json.WriteString("piece", Encoding.UTF8.GetString([.. bytes]));
        }
    }
}
