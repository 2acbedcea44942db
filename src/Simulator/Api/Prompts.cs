using System.Text;
using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>From the members of a request to the tokens of a prompt.</summary>
internal static class Prompts
{
    public const string Template =
        "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}";

    public static int[] Tokens(string text)
    {
        var tokens = new List<int>((text.Length / 3) + 2) { Tokenizer.Begin };
        Tokenizer.Encode(text, tokens);
        return [.. tokens];
    }

    /// <summary>Applies the template to a list of chat messages. An assistant's message at the end is gone on from, not answered.</summary>
    public static string Chat(JsonElement body)
    {
        if (!body.TryGet("messages", out var messages))
        {
            throw ApiException.Invalid("'messages' is required");
        }

        if (messages.ValueKind != JsonValueKind.Array)
        {
            throw ApiException.Invalid("Expected 'messages' to be an array");
        }

        var prompt = new StringBuilder();
        var isAnswered = true;
        foreach (var message in messages.EnumerateArray())
        {
            Append(prompt, message);
            isAnswered = message.Text("role") != "assistant";
        }

        return isAnswered ? prompt.Append("<|assistant|>\n").ToString() : prompt.ToString(0, prompt.Length - 1);
    }

    /// <summary>Applies the template to one message.</summary>
    public static void Append(StringBuilder prompt, JsonElement message)
    {
        var role = message.Text("role");
        if (role != "assistant" && !message.TryGet("content", out _))
        {
            throw ApiException.Invalid("All non-assistant messages must contain 'content'");
        }

        if (role is null)
        {
            throw ApiException.Server($"Failed to parse messages: Missing 'role' in message: {message.GetRawText()}");
        }

        Append(prompt, role, message.TryGet("content", out var content) ? Content(content) : "");
    }

    public static void Append(StringBuilder prompt, string role, string content) => prompt.Append("<|").Append(role).Append("|>\n").Append(content).Append('\n');

    /// <summary>A text, or a list of parts of which only texts are understood.</summary>
    public static string Content(JsonElement content)
    {
        if (content.ValueKind == JsonValueKind.String)
        {
            return content.GetString()!;
        }

        var text = new StringBuilder();
        foreach (var part in content.ValueKind == JsonValueKind.Array ? content.EnumerateArray() : default)
        {
            var type = part.Text("type");
            if (type is "image_url" or "input_image" or "image")
            {
                throw ApiException.Server("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj");
            }

            text.Append(part.Text("text"));
        }

        return text.ToString();
    }

    /// <summary>The prompts of a completion: a text, tokens, or a list of either.</summary>
    public static IReadOnlyList<int[]> Completion(JsonElement body, string name, out bool isList)
    {
        if (body.ValueKind != JsonValueKind.Object || !body.TryGetProperty(name, out var prompt))
        {
            throw ApiException.Invalid($"[json.exception.out_of_range.403] key '{name}' not found");
        }

        isList = prompt.ValueKind == JsonValueKind.Array && prompt.GetArrayLength() > 0 && prompt.EnumerateArray().All(p => p.ValueKind is JsonValueKind.String or JsonValueKind.Array);
        return isList ? [.. prompt.EnumerateArray().Select(p => One(name, p))] : [One(name, prompt)];
    }

    private static int[] One(string name, JsonElement prompt) => prompt.ValueKind switch
    {
        JsonValueKind.String => Tokens(prompt.GetString()!),
        JsonValueKind.Object when prompt.Text("prompt_string") is { } text => Tokens(text),
        JsonValueKind.Array => [.. prompt.EnumerateArray().SelectMany(p => Part(name, p))],
        _ => throw NoPrompt(name),
    };

    private static IEnumerable<int> Part(string name, JsonElement part) => part.ValueKind switch
    {
        JsonValueKind.Number => [part.GetInt32()],
        JsonValueKind.String => Tokens(part.GetString()!).Skip(1),
        _ => throw NoPrompt(name),
    };

    private static ApiException NoPrompt(string name) =>
        ApiException.Invalid($"\"{name}\" elements must be a string, a list of tokens, a JSON object containing a prompt string, or a list of mixed strings & tokens.");
}
