using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Two real llama-servers with the tiny model, which chat and embed.</summary>
public sealed class RealGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        if (RealServer.IsThere)
        {
            Gateway = await GatewayProcess.StartAsync(
                $$"""
                { "Models": { "tiny": {
                    "Executable": "{{RealServer.Executable}}",
                    "Args": ["-m", "{{RealServer.TinyModel}}", "-c", "8192", "--embeddings", "--pooling", "mean"],
                    "Replicas": 2, "Slots": 4 } } }
                """,
                TestContext.Current.CancellationToken);
            await Gateway.UntilReadyAsync(TestContext.Current.CancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Gateway is not null)
        {
            await Gateway.DisposeAsync();
        }
    }
}

[Trait("Suite", "Real")]
public sealed class RealServerTests : IClassFixture<RealGateway>
{
    private const int Limit = 120_000;

    private readonly RealGateway _real;

    public RealServerTests(RealGateway real)
    {
        RealServer.SkipIfAbsent();
        _real = real;
    }

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private HttpClient Data => _real.Gateway.Data;

    [Fact(Timeout = Limit)]
    public async Task Status_TakesTheSlotsFromTheServers()
    {
        var status = await _real.Gateway.UntilReadyAsync(Ct);
        Assert.Equal(2, status.Replicas.Count());
        Assert.All(status.Replicas, replica => Assert.Equal(("llama-server", 4), (replica.Kind, replica.Slots.Total)));
    }

    [Theory(Timeout = Limit)]
    [InlineData("""{"prompt":["the water","the light"]}""", 2)]
    [InlineData("""{"prompt":"the water","n":3}""", 3)]
    [InlineData("""{"prompt":["the water","the light"],"n":2}""", 4)]
    [InlineData("""{"prompt":[{"prompt_string":"the water"},{"prompt_string":"the light"}]}""", 2)]
    [InlineData("""{"prompt":["the water",5,6]}""", 1)]
    [InlineData("""{"prompt":["the water","the light"],"response_fields":["content","index"]}""", 2)]
    public async Task Completion_SeveralAnswersInOneStream_AllComeToTheirEnd(string body, int answers)
    {
        var request = JsonNode.Parse(body)!;
        (request["model"], request["stream"], request["n_predict"]) = ("tiny", true, 12);
        var before = await OkAsync();
        using var stream = await (await Data.StreamAsync("completion", request, Ct)).ReadToEndAsync(Ct);

        Assert.True(stream.Fault is null && !stream.HasError, stream.ToString());
        var ends = stream.Events.Where(text => text.StartsWith("data: {", StringComparison.Ordinal) && !text.Contains("\"stop\":false", StringComparison.Ordinal)).ToList();
        Assert.Equal(answers, ends.Count);
        await Eventually.TrueAsync(async () => await OkAsync() == before + 1, "it to be counted as whole", Ct);

        Task<double> OkAsync() => _real.Gateway.MetricAsync("llmgateway_requests_total", Ct, ("model", "tiny"), ("endpoint", "completion"), ("outcome", "ok"));
    }

    [Fact(Timeout = Limit)]
    public async Task Messages_TooLong_IsRefusedInAnthropicsShape()
    {
        var words = string.Concat(Enumerable.Repeat("the water and the light ", 4000));
        using var response = await Data.PostAsJsonAsync("v1/messages", new { model = "tiny", max_tokens = 4, messages = new[] { new { role = "user", content = words } } }, Ct);
        var answer = await response.JsonAsync(Ct);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(("error", "invalid_request_error"), ((string?)answer["type"], (string?)answer["error"]!["type"]));
        Assert.Equal(response.Header("x-request-id") ?? response.Header("request-id"), (string?)answer["request_id"]);
        Assert.Contains("context", (string?)answer["error"]!["message"], StringComparison.Ordinal);
    }

    [Theory(Timeout = Limit)]
    [InlineData("v1/responses", """{"model":"tiny","input":"a","n":2}""", "n")]
    [InlineData("v1/completions", """{"model":"tiny","prompt":"a","repeat_last_n":200000000}""", "repeat_last_n")]
    public async Task Number_ThatDoesHarm_NeverReachesTheServer(string path, string body, string field)
    {
        using var content = new StringContent(body);
        using var response = await Data.PostAsync(new Uri(path, UriKind.Relative), content, Ct);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(field, (string?)(await response.JsonAsync(Ct))["error"]!["param"]);
    }

    [Fact(Timeout = Limit)]
    public async Task Chat_Whole_Answers()
    {
        using var response = await Data.ChatAsync("tiny", 8, Ct);
        var answer = await response.JsonAsync(Ct);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(("chat.completion", "tiny"), ((string)answer["object"]!, (string)answer["model"]!));
        Assert.InRange((int)answer["usage"]!["completion_tokens"]!, 1, 8);
    }

    [Theory(Timeout = Limit)]
    [InlineData("v1/chat/completions", """{"model":"tiny","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"the water"}]}""", "data: [DONE]")]
    [InlineData("v1/completions", """{"model":"tiny","stream":true,"max_tokens":8,"prompt":"the water"}""", "data: [DONE]")]
    [InlineData("completion", """{"model":"tiny","stream":true,"n_predict":8,"prompt":"the water"}""", "\"stop\":true")]
    [InlineData("v1/messages", """{"model":"tiny","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"the water"}]}""", "event: message_stop")]
    [InlineData("v1/responses", """{"model":"tiny","stream":true,"max_output_tokens":8,"input":"the water"}""", "event: response.")]
    public async Task Stream_EachApi_EndsWithItsOwnLastEvent(string path, string body, string last)
    {
        using var answer = await Data.StreamAsync(path, JsonNode.Parse(body)!, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.True(answer.Status == HttpStatusCode.OK && answer.Fault is null && !answer.HasError, answer.ToString());
        Assert.Contains(last, answer.Events[^1], StringComparison.Ordinal);
        Assert.True(answer.Events.Count >= 3, answer.ToString());
    }

    [Fact(Timeout = Limit)]
    public async Task Completions_Whole_Answers()
    {
        using var response = await Data.PostAsJsonAsync("v1/completions", new { model = "tiny", prompt = "the water", max_tokens = 4 }, Ct);
        Assert.Equal("text_completion", (string?)(await response.JsonAsync(Ct))["object"]);
    }

    [Fact(Timeout = Limit)]
    public async Task Embeddings_ListOfInputs_OneVectorEach()
    {
        using var response = await Data.PostAsJsonAsync("v1/embeddings", JsonNode.Parse("""{"model":"tiny","input":["the water","the light","the server"]}"""), Ct);
        var data = (await response.JsonAsync(Ct))["data"]!.AsArray();
        Assert.Equal([0, 1, 2], data.Select(entry => (int)entry!["index"]!));
        Assert.All(data, entry => Assert.True(entry!["embedding"]!.AsArray().Count >= 8));
    }

    [Fact(Timeout = Limit)]
    public async Task TextCalls_TakeNoSlotAndAnswer()
    {
        using var tokens = await Data.PostAsJsonAsync("tokenize", new { model = "tiny", content = "the water" }, Ct);
        var list = (await tokens.JsonAsync(Ct))["tokens"]!.AsArray();
        Assert.NotEmpty(list);
        using var text = await Data.PostAsJsonAsync("detokenize", new { model = "tiny", tokens = list }, Ct);
        Assert.Contains("water", (string?)(await text.JsonAsync(Ct))["content"], StringComparison.Ordinal);
        using var template = await Data.PostAsJsonAsync("apply-template", new { model = "tiny", messages = new[] { new { role = "user", content = "the water" } } }, Ct);
        Assert.Contains("the water", (string?)(await template.JsonAsync(Ct))["prompt"], StringComparison.Ordinal);
        using var count = await Data.PostAsJsonAsync("v1/messages/count_tokens", new { model = "tiny", messages = new[] { new { role = "user", content = "the water" } } }, Ct);
        Assert.True((int)(await count.JsonAsync(Ct))["input_tokens"]! > 0);
    }

    [Fact(Timeout = Limit)]
    public async Task ContextOverflow_PassesTheServersOwnRefusal()
    {
        using var response = await Data.PostAsJsonAsync("v1/completions", new { model = "tiny", prompt = string.Concat(Enumerable.Repeat("the water ", 4000)), max_tokens = 1 }, Ct);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("exceed_context_size_error", (string?)(await response.ErrorAsync(Ct))["type"]);
    }

    [Fact(Timeout = Limit)]
    public async Task Rerank_WhereTheServerOffersNone_Is404()
    {
        using var response = await Data.PostAsJsonAsync("v1/rerank", JsonNode.Parse("""{"model":"tiny","query":"a","documents":["b"]}"""), Ct);
        await response.AssertErrorAsync(HttpStatusCode.NotFound, "unknown_endpoint", Ct);
    }
}
