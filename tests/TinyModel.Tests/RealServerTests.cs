using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.TinyModel.Tests;

/// <summary>What other tests rely on: the real llama-server loads the file, words are tokens, replies have the length asked for.</summary>
[Trait("Suite", "Real")]
public sealed class RealServerTests
{
    private const string Listening = "listening on ";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task RealServer_TinyModel_WordsAreTokensAndRepliesRunToTheirLimit()
    {
        var program = Environment.GetEnvironmentVariable("LLAMA_SERVER");
        var model = Environment.GetEnvironmentVariable("LLMGATEWAY_TINY_MODEL");
        Assert.SkipWhen(program is null || model is null, "LLAMA_SERVER and LLMGATEWAY_TINY_MODEL are not set: run ./test.sh");

        await using var server = ChildProcess.Start(
            program!, ["-m", model!, "--host", "127.0.0.1", "--port", "0", "-np", "1", "-c", "4096", "-t", "1", "--offline", "--embeddings", "--pooling", "mean"]);
        var line = await server.WaitForLineAsync(line => line.Contains(Listening, StringComparison.Ordinal), Cancelled);
        using var client = new HttpClient { BaseAddress = new Uri(line[(line.IndexOf(Listening, StringComparison.Ordinal) + Listening.Length)..].Trim()) };

        var tokens = await PostAsync(client, "/tokenize", new { content = string.Join(' ', Vocabulary.Words) });
        Assert.Equal(Vocabulary.Words.Count, tokens["tokens"]!.AsArray().Count);

        var reply = await PostAsync(client, "/completion", new { prompt = "the water", n_predict = 1000, temperature = 1.5 });
        Assert.Equal(1000, (int?)reply["tokens_predicted"]);
        Assert.DoesNotContain("\ufffd", (string?)reply["content"]);

        var vectors = await PostAsync(client, "/v1/embeddings", new { input = "the water and the server" });
        Assert.All(vectors["data"]!.AsArray(), entry => Assert.Equal(ModelShape.Presets["tiny"].Embedding, entry!["embedding"]!.AsArray().Count));
    }

    private static async Task<JsonNode> PostAsync(HttpClient client, string path, object body)
    {
        using var response = await client.PostAsJsonAsync(path, body, Cancelled);
        return JsonNode.Parse(await response.EnsureSuccessStatusCode().Content.ReadAsStringAsync(Cancelled))!;
    }
}
