using System.Buffers.Binary;
using System.Text.Json;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>Embeddings and reranking: prompts that are evaluated, each in a slot, and nothing generated.</summary>
internal static class EmbeddingApi
{
    private const int Dimensions = 64;

    public static async Task EmbedOpenAiAsync(Exchange exchange)
    {
        var generations = await EvaluateAsync(exchange).ConfigureAwait(false);
        var base64 = exchange.Body.Text("encoding_format") == "base64";
        await exchange.ReplyAsync(json =>
        {
            Head(json, exchange.Body.Text("model") ?? exchange.Simulation.ModelId, generations);
            json.WriteStartArray("data");
            foreach (var generation in generations)
            {
                json.WriteStartObject();
                json.WritePropertyName("embedding");
                Vector(json, generation, base64);
                json.WriteNumber("index", generation.Index);
                json.WriteString("object", "embedding");
                if (base64)
                {
                    json.WriteString("encoding_format", "base64");
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }).ConfigureAwait(false);
    }

    public static async Task EmbedNativeAsync(Exchange exchange)
    {
        var generations = await EvaluateAsync(exchange).ConfigureAwait(false);
        await exchange.ReplyAsync(json =>
        {
            json.WriteStartArray();
            foreach (var generation in generations)
            {
                json.WriteStartObject();
                json.WriteNumber("index", generation.Index);
                json.WriteStartArray("embedding");
                Vector(json, generation, base64: false);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }).ConfigureAwait(false);
    }

    public static async Task RerankAsync(Exchange exchange)
    {
        var body = exchange.Body;
        if (!exchange.Simulation.Settings.Rerank)
        {
            throw ApiException.NotSupported("This server does not support reranking. Start it with `--reranking`");
        }

        if (body.Text("query") is not { } query)
        {
            throw ApiException.Invalid("\"query\" must be provided");
        }

        if (!(body.TryGet("documents", out var documents) || body.TryGet("texts", out documents)) || documents.ValueKind != JsonValueKind.Array || documents.GetArrayLength() == 0)
        {
            throw ApiException.Invalid("\"documents\" must be a non-empty string array");
        }

        var prompts = documents.EnumerateArray().Select(d => Prompts.Tokens(query + "\n" + (d.ValueKind == JsonValueKind.String ? d.GetString() : ""))).ToList();
        var generations = await RunAsync(exchange, prompts).ConfigureAwait(false);
        var results = generations.Select(g => (g.Index, Score: Value(Tokenizer.Hash(g.Prompt), 0))).OrderByDescending(r => r.Score);
        await exchange.ReplyAsync(json =>
        {
            Head(json, exchange.Simulation.ModelId, generations);
            json.WriteStartArray("results");
            foreach (var (index, score) in results.Take(body.Number("top_n", int.MaxValue)))
            {
                json.WriteStartObject();
                json.WriteNumber("index", index);
                json.WriteNumber("relevance_score", score);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }).ConfigureAwait(false);
    }

    private static Task<List<Generation>> EvaluateAsync(Exchange exchange)
    {
        if (!exchange.Simulation.Settings.Embeddings)
        {
            throw ApiException.NotSupported("This server does not support embeddings. Start it with `--embeddings`");
        }

        var name = exchange.Body.TryGet("input", out _) ? "input" : exchange.Body.TryGet("content", out _) ? "content" : throw ApiException.Invalid("\"input\" or \"content\" must be provided");
        return RunAsync(exchange, Prompts.Completion(exchange.Body, name, out _));
    }

    private static async Task<List<Generation>> RunAsync(Exchange exchange, IReadOnlyList<int[]> prompts)
    {
        var most = exchange.Simulation.Settings.PhysicalBatchSize;
        if (prompts.FirstOrDefault(p => p.Length > most) is { } tooLong)
        {
            throw ApiException.Server($"input ({tooLong.Length} tokens) is too large to process. increase the physical batch size (current batch size: {most})");
        }

        var generations = prompts.Select((p, i) => new Generation(i, p) { MaxTokens = 0 }).ToList();
        await Answer.RunAsync(exchange, generations, new SilentSink(exchange)).ConfigureAwait(false);
        return generations;
    }

    private static void Head(Utf8JsonWriter json, string model, List<Generation> generations)
    {
        var tokens = generations.Sum(g => g.Prompt.Length);
        json.WriteStartObject();
        json.WriteString("model", model);
        json.WriteString("object", "list");
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", tokens);
        json.WriteNumber("total_tokens", tokens);
        json.WriteEndObject();
    }

    private static void Vector(Utf8JsonWriter json, Generation generation, bool base64)
    {
        var hash = Tokenizer.Hash(generation.Prompt);
        Span<float> vector = stackalloc float[Dimensions];
        var square = 0f;
        for (var i = 0; i < Dimensions; i++)
        {
            vector[i] = (float)Value(hash, i);
            square += vector[i] * vector[i];
        }

        var norm = MathF.Sqrt(square);
        if (base64)
        {
            Span<byte> bytes = stackalloc byte[Dimensions * sizeof(float)];
            for (var i = 0; i < Dimensions; i++)
            {
                BinaryPrimitives.WriteSingleLittleEndian(bytes[(i * sizeof(float))..], vector[i] / norm);
            }

            json.WriteStringValue(Convert.ToBase64String(bytes));
            return;
        }

        json.WriteStartArray();
        foreach (var value in vector)
        {
            json.WriteNumberValue(value / norm);
        }

        json.WriteEndArray();
    }

    // In (-1, 1), a pure function of the text.
    private static double Value(ulong hash, int position) =>
        (((Babble.At(hash, position) * 64) + Babble.At(hash + 1, position)) / 2048.0) - 1;
}
