using System.Buffers;
using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>How one API writes an answer, whole or as events.</summary>
internal abstract class Dialect(AnswerRequest request, Simulation simulation)
{
    protected AnswerRequest Request { get; } = request;

    protected string Model { get; } = simulation.ModelId;

    protected long Created { get; } = simulation.UnixTime;

    /// <summary>Events before the first token of a choice.</summary>
    public abstract void Open(SseWriter events, Generation generation);

    public abstract void Token(SseWriter events, Generation generation, string text);

    /// <summary>Events behind the last token of a choice.</summary>
    public abstract void Close(SseWriter events, Generation generation);

    /// <summary>Events behind the last choice.</summary>
    public virtual void Done(SseWriter events)
    {
    }

    /// <summary>Progress of the prompt, where the API can tell.</summary>
    public virtual void PromptProgress(SseWriter events, Generation generation)
    {
    }

    /// <summary>The answer to a request that does not stream.</summary>
    public abstract void Whole(Utf8JsonWriter json);

    protected static void Timings(Utf8JsonWriter json, Generation g)
    {
        json.WriteStartObject("timings");
        json.WriteNumber("cache_n", g.CachedTokens);
        json.WriteNumber("prompt_n", g.EvaluatedTokens);
        json.WriteNumber("prompt_ms", Round(g.PromptMilliseconds));
        json.WriteNumber("prompt_per_token_ms", Ratio(g.PromptMilliseconds, g.EvaluatedTokens));
        json.WriteNumber("prompt_per_second", Ratio(g.EvaluatedTokens * 1000, g.PromptMilliseconds));
        json.WriteNumber("predicted_n", g.Predicted);
        json.WriteNumber("predicted_ms", Round(g.PredictedMilliseconds));
        json.WriteNumber("predicted_per_token_ms", Ratio(g.PredictedMilliseconds, g.Predicted - 1));
        json.WriteNumber("predicted_per_second", Ratio((g.Predicted - 1) * 1000, g.PredictedMilliseconds));
        json.WriteEndObject();
    }

    /// <summary>OpenAI's usage. Of several choices the real server counts one.</summary>
    protected void Usage(Utf8JsonWriter json)
    {
        var g = Request.Generations[0];
        json.WriteStartObject("usage");
        json.WriteNumber("completion_tokens", g.Predicted);
        json.WriteNumber("prompt_tokens", g.Prompt.Length);
        json.WriteNumber("total_tokens", g.Prompt.Length + g.Predicted);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber("cached_tokens", g.CachedTokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    protected static string FinishReason(Generation g) => g.Reason == StopReason.Limit ? "length" : "stop";

    private static double Round(double milliseconds) => Math.Round(milliseconds, 3);

    private static double Ratio(double a, double b) => b > 0 && a > 0 ? a / b : 0;
}

/// <summary>Collects the events of one write.</summary>
internal sealed class SseWriter : IDisposable
{
    private readonly ArrayBufferWriter<byte> _buffer = new(1024);
    private readonly Utf8JsonWriter _json;

    public SseWriter() => _json = new Utf8JsonWriter(_buffer, Exchange.JsonOptions);

    public ReadOnlyMemory<byte> Written => _buffer.WrittenMemory;

    public void Clear() => _buffer.ResetWrittenCount();

    /// <summary>One event; <paramref name="name"/> makes its <c>event:</c> line.</summary>
    public void Event(Action<Utf8JsonWriter> write, string? name = null)
    {
        if (name is not null)
        {
            _buffer.Write("event: "u8);
            _buffer.Write(System.Text.Encoding.UTF8.GetBytes(name));
            _buffer.Write("\n"u8);
        }

        _buffer.Write("data: "u8);
        _json.Reset();
        write(_json);
        _json.Flush();
        _buffer.Write("\n\n"u8);
    }

    public void Raw(ReadOnlySpan<byte> bytes) => _buffer.Write(bytes);

    public void Dispose() => _json.Dispose();
}
