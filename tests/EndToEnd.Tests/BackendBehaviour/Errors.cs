using System.Net;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public abstract partial class BackendFacts
{
    [Theory]
    [InlineData("/v1/chat/completions", """{"messages": bad}""", 400, "invalid_request_error", "[json.exception.parse_error.101] parse error at line 1, column 14: syntax error while parsing value - invalid literal")]
    [InlineData("/v1/chat/completions", "", 400, "invalid_request_error", "[json.exception.parse_error.101] parse error at line 1, column 1: attempting to parse an empty input")]
    [InlineData("/v1/chat/completions", "{}", 400, "invalid_request_error", "'messages' is required")]
    [InlineData("/v1/chat/completions", "[]", 400, "invalid_request_error", "'messages' is required")]
    [InlineData("/v1/chat/completions", """{"messages":"x"}""", 400, "invalid_request_error", "Expected 'messages' to be an array")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user"}]}""", 400, "invalid_request_error", "All non-assistant messages must contain 'content'")]
    [InlineData("/v1/chat/completions", """{"messages":[{"content":"x"}]}""", 500, "server_error", "Failed to parse messages: Missing 'role' in message")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}],"max_tokens":"x"}""", 400, "invalid_request_error", "Field 'max_tokens': [json.exception.type_error.302] type must be number, but is string")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}],"max_tokens":-5}""", 400, "invalid_request_error", "Field 'max_tokens': Value must be between -1 <= value <= 2147483647, but got -5")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}],"n":3}""", 400, "invalid_request_error", "Field 'n': Value must be between 1 <= value <= 2, but got 3")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}],"stream":true,"grammar":"bad bad"}""", 400, "invalid_request_error", "Failed to initialize samplers: failed to parse grammar")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}""", 500, "server_error", "image input is not supported - hint: ")]
    [InlineData("/v1/completions", "{}", 400, "invalid_request_error", "[json.exception.out_of_range.403] key 'prompt' not found")]
    [InlineData("/completion", """{"prompt":5}""", 400, "invalid_request_error", "\"prompt\" elements must be a string, a list of tokens")]
    [InlineData("/v1/messages", "{}", 500, "server_error", "'messages' is required")]
    [InlineData("/v1/responses", "{}", 400, "invalid_request_error", "'input' is required")]
    [InlineData("/apply-template", "{}", 400, "invalid_request_error", "'messages' is required")]
    [InlineData("/v1/embeddings", """{"input":"a"}""", 501, "not_supported_error", "This server does not support embeddings. Start it with `--embeddings`")]
    [InlineData("/embedding", """{"content":"a"}""", 501, "not_supported_error", "This server does not support embeddings. Start it with `--embeddings`")]
    [InlineData("/v1/rerank", """{"query":"a","documents":["b"]}""", 501, "not_supported_error", "This server does not support reranking. Start it with `--reranking`")]
    [InlineData("/infill", """{"input_prefix":"a","input_suffix":"b"}""", 501, "not_supported_error", "Infill is not supported by this model: ")]
    [InlineData("/props", "{}", 501, "not_supported_error", "This server does not support changing global properties. Start it with `--props`")]
    [InlineData("/slots/0?action=erase", "", 501, "not_supported_error", "This server does not support slots action. Start it with `--slot-save-path`")]
    public async Task WrongRequest_IsAnsweredWithItsErrorAndClosed(string path, string body, int status, string type, string message)
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync(path, body, Cancellation);

        Assert.Equal((HttpStatusCode)status, reply.Status);
        var error = reply.Json.GetProperty("error");
        Assert.Equal("code message type", error.Members());
        Assert.Equal((status, type), (error.Number("code"), error.Text("type")));
        Assert.StartsWith(message, error.Text("message"), StringComparison.Ordinal);
        Assert.Equal("close", reply.Header("Connection"));
        Assert.Equal("(absent)", reply.Header("Keep-Alive"));
    }

    [Theory]
    [InlineData("GET", "/nowhere")]
    [InlineData("GET", "/")]
    [InlineData("GET", "/v1/models/alpha")]
    [InlineData("GET", "/slots/0")]
    [InlineData("POST", "/health")]
    [InlineData("GET", "/v1/chat/completions")]
    [InlineData("DELETE", "/v1/chat/completions")]
    public async Task UnknownPathOrMethod_IsNotFound(string method, string path)
    {
        var backend = await SharedAsync();

        var reply = await backend.SendAsync(new HttpMethod(method), path, method == "POST" ? "{}" : null, Cancellation);

        Assert.Equal(HttpStatusCode.NotFound, reply.Status);
        Assert.Equal("{\"error\":{\"message\":\"File Not Found\",\"type\":\"not_found_error\",\"code\":404}}", reply.Body);
        Assert.Equal("close", reply.Header("Connection"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task TooLongPrompt_IsRefusedWithItsSize(bool stream)
    {
        var backend = await SharedAsync();
        var content = string.Concat(Enumerable.Repeat("time ", 3000));

        var reply = await backend.PostAsync("/v1/chat/completions", Chat(content, $"\"stream\":{(stream ? "true" : "false")}"), Cancellation);

        Assert.Equal(HttpStatusCode.BadRequest, reply.Status);
        var error = reply.Json.GetProperty("error");
        Assert.Equal("code message type n_prompt_tokens n_ctx", error.Members());
        Assert.Equal("exceed_context_size_error", error.Text("type"));
        Assert.Equal(BackendFixture.SlotContext, error.Number("n_ctx"));
        Assert.Equal(
            $"request ({error.Number("n_prompt_tokens")} tokens) exceeds the available context size ({BackendFixture.SlotContext} tokens), try increasing it",
            error.Text("message"));
    }

    [Fact]
    public async Task CompressedBody_IsRefusedWithoutWords()
    {
        var backend = await SharedAsync();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = new StringContent("{}") };
        request.Content.Headers.ContentEncoding.Add("gzip");

        using var response = await backend.Client.SendAsync(request, Cancellation);

        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
        Assert.Empty(await response.Content.ReadAsStringAsync(Cancellation));
    }

    [Fact]
    public async Task Origin_IsEchoed()
    {
        var backend = await SharedAsync();

        var foreign = await backend.GetAsync("/health", Cancellation, ("Origin", "http://foreign.example"));
        var none = await backend.GetAsync("/health", Cancellation);
        var preflight = await backend.SendAsync(HttpMethod.Options, "/v1/models", null, Cancellation, ("Origin", "http://foreign.example"));

        Assert.Equal("http://foreign.example", foreign.Header("Access-Control-Allow-Origin"));
        Assert.Equal("", none.Header("Access-Control-Allow-Origin"));
        Assert.Equal(HttpStatusCode.OK, preflight.Status);
        Assert.Equal("true", preflight.Header("Access-Control-Allow-Credentials"));
        Assert.Equal("GET, POST, DELETE, OPTIONS", preflight.Header("Access-Control-Allow-Methods"));
    }

    [Fact]
    public async Task Keys_WhenSet_AreNeededEverywhereButForHealth()
    {
        await using var process = fixture.Launch(
            ["--host", "127.0.0.1", "--port", "0", "-np", "1", "-c", "512", "-t", "1"],
            environment: new Dictionary<string, string?> { ["LLAMA_API_KEY"] = "k1,k2" });
        var line = await process.WaitForLineAsync(l => l.Contains("listening on ", StringComparison.Ordinal), Cancellation);
        using var client = new HttpClient { BaseAddress = new Uri(line[line.IndexOf("http://", StringComparison.Ordinal)..]) };

        Assert.Equal((200, "{\"status\":\"ok\"}"), await AskAsync("/health", null, null));
        Assert.Equal((404, "{\"error\":{\"message\":\"File Not Found\",\"type\":\"not_found_error\",\"code\":404}}"), await AskAsync("/", null, null));
        const string Refused = "{\"error\":{\"message\":\"Invalid API Key\",\"type\":\"authentication_error\",\"code\":401}}";
        Assert.Equal((401, Refused), await AskAsync("/v1/models", null, null));
        Assert.Equal((401, Refused), await AskAsync("/nowhere", null, null));
        Assert.Equal((401, Refused), await AskAsync("/props", "Authorization", "bearer k1"));
        Assert.Equal((401, Refused), await AskAsync("/props", "Authorization", "Bearer k3"));
        Assert.Equal(200, (await AskAsync("/props", "Authorization", "Bearer k2")).Status);
        Assert.Equal(200, (await AskAsync("/props", "Authorization", "k1")).Status);
        Assert.Equal(200, (await AskAsync("/props", "X-Api-Key", "k2")).Status);

        async Task<(int Status, string Body)> AskAsync(string path, string? header, string? value)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            if (header is not null)
            {
                request.Headers.TryAddWithoutValidation(header, value);
            }

            using var response = await client.SendAsync(request, Cancellation);
            return ((int)response.StatusCode, await response.Content.ReadAsStringAsync(Cancellation));
        }
    }
}
