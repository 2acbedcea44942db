using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>Text completions: OpenAI's and llama.cpp's own.</summary>
internal static class CompletionApi
{
    public static Task CompleteOpenAiAsync(Exchange exchange)
    {
        var prompts = Prompts.Completion(exchange.Body, "prompt", out _);
        var request = AnswerRequest.Create(exchange, prompts, isChat: false, "max_tokens", "n_predict");
        return Answer.SendAsync(exchange, request, new TextDialect(request, exchange.Simulation));
    }

    public static Task CompleteNativeAsync(Exchange exchange)
    {
        var prompts = Prompts.Completion(exchange.Body, "prompt", out var isList);
        var request = AnswerRequest.Create(exchange, prompts, isChat: false, "n_predict", "max_tokens") with { IsList = isList };
        return Answer.SendAsync(exchange, request, new NativeDialect(request, exchange.Simulation));
    }

    // The pretended model has no tokens for it, as most chat models do not.
    public static Task InfillAsync(Exchange exchange) => throw ApiException.NotSupported(
        "Infill is not supported by this model: prefix token is missing. suffix token is missing. middle token is missing. ");
}

/// <summary>OpenAI's text completions.</summary>
internal sealed class TextDialect(AnswerRequest request, Simulation simulation) : Dialect(request, simulation)
{
    private readonly string _id = Exchange.NewId("chatcmpl-");

    public override void Open(SseWriter events, Generation generation)
    {
    }

    public override void Token(SseWriter events, Generation generation, string text) => events.Event(json => Chunk(json, generation, text, null, Request.TimingsPerToken));

    public override void Close(SseWriter events, Generation generation) => events.Event(json => Chunk(json, generation, "", FinishReason(generation), true));

    public override void Done(SseWriter events) => events.Raw("data: [DONE]\n\n"u8);

    public override void Whole(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartArray("choices");
        foreach (var generation in Request.Generations)
        {
            Choice(json, generation, generation.Text.ToString(), FinishReason(generation));
        }

        json.WriteEndArray();
        Head(json);
        Usage(json);
        json.WriteString("id", _id);
        Timings(json, Request.Generations[0]);
        json.WriteEndObject();
    }

    private static void Choice(Utf8JsonWriter json, Generation generation, string text, string? finish)
    {
        json.WriteStartObject();
        json.WriteString("text", text);
        json.WriteNumber("index", generation.Index);
        json.WriteNull("logprobs");
        json.WriteString("finish_reason", finish);
        json.WriteEndObject();
    }

    private void Chunk(Utf8JsonWriter json, Generation generation, string text, string? finish, bool withTimings)
    {
        json.WriteStartObject();
        json.WriteStartArray("choices");
        Choice(json, generation, text, finish);
        json.WriteEndArray();
        Head(json);
        if (finish is not null)
        {
            Usage(json);
        }

        json.WriteString("id", _id);
        if (withTimings)
        {
            Timings(json, generation);
        }

        json.WriteEndObject();
    }

    private void Head(Utf8JsonWriter json)
    {
        json.WriteNumber("created", Created);
        json.WriteString("model", Model);
        json.WriteString("system_fingerprint", Simulation.Build);
        json.WriteString("object", "text_completion");
    }
}

/// <summary>llama.cpp's own completions.</summary>
internal sealed class NativeDialect(AnswerRequest request, Simulation simulation) : Dialect(request, simulation)
{
    public override void Open(SseWriter events, Generation generation)
    {
    }

    public override void Token(SseWriter events, Generation generation, string text) => events.Event(json =>
    {
        json.WriteStartObject();
        json.WriteNumber("index", generation.Index);
        json.WriteString("content", text);
        json.WriteStartArray("tokens");
        json.WriteNumberValue(generation.Tokens[^1]);
        json.WriteEndArray();
        json.WriteBoolean("stop", false);
        json.WriteNumber("id_slot", -1);
        json.WriteNumber("tokens_predicted", generation.Predicted);
        json.WriteNumber("tokens_evaluated", generation.Prompt.Length);
        if (Request.TimingsPerToken)
        {
            Timings(json, generation);
        }

        json.WriteEndObject();
    });

    public override void Close(SseWriter events, Generation generation) => events.Event(json => Final(json, generation, ""));

    public override void Whole(Utf8JsonWriter json)
    {
        if (!Request.IsList)
        {
            Final(json, Request.Generations[0], Request.Generations[0].Text.ToString());
            return;
        }

        json.WriteStartArray();
        foreach (var generation in Request.Generations)
        {
            Final(json, generation, generation.Text.ToString());
        }

        json.WriteEndArray();
    }

    private void Final(Utf8JsonWriter json, Generation g, string content)
    {
        json.WriteStartObject();
        json.WriteNumber("index", g.Index);
        json.WriteString("content", content);
        json.WriteStartArray("tokens");
        foreach (var token in Request.ReturnTokens && !Request.Stream ? g.Tokens : [])
        {
            json.WriteNumberValue(token);
        }

        json.WriteEndArray();
        json.WriteNumber("id_slot", g.SlotId);
        json.WriteBoolean("stop", true);
        json.WriteString("model", Model);
        json.WriteNumber("tokens_predicted", g.Predicted);
        json.WriteNumber("tokens_evaluated", g.Prompt.Length);
        json.WritePropertyName("generation_settings");
        json.WriteRawValue(SamplingParameters.Json(g, whole: true), skipInputValidation: true);
        json.WriteString("prompt", Tokenizer.Decode(g.Prompt));
        json.WriteBoolean("has_new_line", false);
        json.WriteBoolean("truncated", g.Truncated);
        json.WriteString("stop_type", g.Reason switch { StopReason.Limit => "limit", StopReason.Word => "word", _ => "eos" });
        json.WriteString("stopping_word", g.StopWord);
        json.WriteNumber("tokens_cached", g.Prompt.Length + g.Predicted - 1);
        Timings(json, g);
        json.WriteEndObject();
    }
}
