using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.Gateway.Tests.Forwarding;
using LlmGateway.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests;

/// <summary>Which paths and methods the data listener has, and what each refusal looks like to a client.</summary>
public sealed class EndpointTests
{
    private const string Admin = "sk-admin";
    private const string Plain = "sk-plain";
    private const string OnlyOther = "sk-only-other";

    private static readonly string Ok = Http("""{"choices":[]}""");

    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Paths => [.. InferenceEndpoint.All.SelectMany(endpoint => endpoint.Paths)];

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Post_EveryInferencePath_ReachesTheBackendOnThatPath(string path)
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = gateway.Client();
        using var content = InferenceEndpoint.Find(path)!.IsForm
            ? (HttpContent)new MultipartFormDataContent { { new StringContent("m"), "model" } }
            : new StringContent("""{"model":"m"}""");
        using var answer = await client.PostAsync(new Uri(path, UriKind.Relative), content, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.StartsWith($"POST {path} HTTP/1.1\r\n", await stub.Seen.ReadAsync(Ct), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task OtherMethod_OnAnInferencePath_Is405ThatNamesTheRightOne(string path)
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = gateway.Client();
        foreach (var method in new[] { "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE" })
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), path);
            using var answer = await client.SendAsync(request, Ct);
            Assert.Equal(HttpStatusCode.MethodNotAllowed, answer.StatusCode);
            Assert.Equal(["POST"], answer.Content.Headers.Allow);
            if (method != "HEAD")
            {
                await AssertErrorAsync(answer, 405, "method_not_allowed", path);
            }
        }
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/props")]
    [InlineData("/slots")]
    [InlineData("/slots/0?action=erase")]
    [InlineData("/metrics")]
    [InlineData("/lora-adapters")]
    [InlineData("/v1/audio/speech")]
    [InlineData("/v1/stream?conv_id=1")]
    [InlineData("/v1/streams/lookup")]
    [InlineData("/models/load/x/y")]
    [InlineData("/tools")]
    [InlineData("/cors-proxy?url=http://127.0.0.1:1/")]
    [InlineData("/v1")]
    [InlineData("/v1/chat")]
    [InlineData("/v1/messages/other")]
    [InlineData("/v1/chat/completions/other")]
    [InlineData("//v1/chat/completions")]
    [InlineData("/v1//chat/completions")]
    [InlineData("/v1/chat%2Fcompletions")]
    [InlineData("/v1/chat/completions%00")]
    [InlineData("/v1/../props")]
    [InlineData("/v1/%2e%2e/props")]
    public async Task Post_AnyOtherPath_NeverReachesABackend(string path)
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync("{}", path);
        var text = await client.ReadUntilAsync("\r\n\r\n");
        Assert.Matches("^HTTP/1.1 (404|405|400) ", text);
        Assert.False(stub.Seen.TryPeek(out _));
    }

    [Theory]
    [InlineData("/v1/chat/completions", 404, "unknown_endpoint", "/nothing")]
    [InlineData("/v1/messages", 404, "unknown_endpoint", "/v1/messages/nothing")]
    [InlineData("/v1/chat/completions", 400, "invalid_json", null, "{")]
    [InlineData("/v1/messages", 400, "invalid_json", null, "{")]
    [InlineData("/v1/chat/completions", 400, "missing_model", null, "{}", "model")]
    [InlineData("/v1/chat/completions", 400, "invalid_parameter", null, """{"model":"m","max_tokens":-7}""", "max_tokens")]
    [InlineData("/v1/messages", 400, "invalid_parameter", null, """{"model":"m","max_tokens":1.5}""", "max_tokens")]
    [InlineData("/v1/chat/completions", 400, "invalid_parameter", null, """{"model":"m","n":3}""", "n")]
    [InlineData("/v1/chat/completions", 400, "invalid_parameter", null, """{"model":"m","id_slot":1}""", "id_slot")]
    [InlineData("/v1/chat/completions", 404, "model_not_found", null, """{"model":"nope"}""", "model")]
    [InlineData("/v1/messages", 404, "model_not_found", null, """{"model":"nope"}""", "model")]
    [InlineData("/v1/embeddings", 404, "model_not_found", null, """{"model":"nope"}""", "model")]
    [InlineData("/tokenize", 503, "no_backend", null, """{"model":"m"}""")]
    public async Task Refusal_OfEachKind_HasStatusCodeParamAndItsApisShape(string path, int status, string code, string? other = null, string? body = null, string? param = null)
    {
        await using var gateway = await TwoModelsAsync();
        using var client = gateway.Client();
        using var content = new StringContent(body ?? "{}");
        using var answer = await client.PostAsync(new Uri(other ?? path, UriKind.Relative), content, Ct);
        await AssertErrorAsync(answer, status, code, other ?? path, param);
    }

    [Fact]
    public async Task Body_LargerThanAllowed_Is413AnnouncedOrNot()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time, root: options => options with { Gateway = options.Gateway with { MaxRequestBody = new ByteSize(1024) } });
        using var client = gateway.Client();
        foreach (var isAnnounced in new[] { true, false })
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/messages") { Content = new StringContent(new string(' ', 1025)) };
            request.Headers.TransferEncodingChunked = !isAnnounced;
            using var answer = await client.SendAsync(request, Ct);
            await AssertErrorAsync(answer, 413, "body_too_large", "/v1/messages");
        }
    }

    [Fact]
    public async Task Body_Compressed_Is415()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = gateway.Client();
        using var content = new ByteArrayContent([0x1f, 0x8b]) { Headers = { ContentEncoding = { "gzip" } } };
        using var answer = await client.PostAsync(new Uri("/v1/chat/completions", UriKind.Relative), content, Ct);
        await AssertErrorAsync(answer, 415, "unsupported_encoding", "/v1/chat/completions");
    }

    [Theory]
    [InlineData("Host", "evil.example", 421, "host_not_allowed")]
    [InlineData("Origin", "https://evil.example", 403, "origin_not_allowed")]
    [InlineData("Sec-Fetch-Site", "cross-site", 403, "origin_not_allowed")]
    [InlineData("Upgrade", "websocket", 400, "invalid_parameter", "Upgrade")]
    public async Task Header_OfAWebPageOrAnotherProtocol_IsRefused(string header, string value, int status, string code, string? param = null)
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = gateway.Client();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        request.Headers.TryAddWithoutValidation(header, value);
        using var answer = await client.SendAsync(request, Ct);
        await AssertErrorAsync(answer, status, code, "/v1/models", param);
        Assert.False(answer.Headers.Contains("Access-Control-Allow-Origin"));
    }

    [Fact]
    public async Task Upgrade_ToH2c_IsAnOfferThatIsNotTaken()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = await gateway.SendAsync("", "/v1/models", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n");
        Assert.StartsWith("HTTP/1.1 405", await client.ReadUntilAsync("method_not_allowed"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Http2WithoutTls_IsNotSpoken()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = new HttpClient { BaseAddress = gateway.Url, DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync(new Uri("/v1/models", UriKind.Relative), Ct));
    }

    [Theory]
    [InlineData(null, 401)]
    [InlineData("sk-wrong", 401)]
    [InlineData(OnlyOther, 403)]
    [InlineData(Plain, 503)]
    public async Task Key_DecidesBeforeAnyQueue(string? secret, int status)
    {
        await using var gateway = await KeyedAsync();
        using var client = Client(gateway, secret);
        using var content = new StringContent("""{"model":"m"}""");
        using var answer = await client.PostAsync(new Uri("/tokenize", UriKind.Relative), content, Ct);
        await AssertErrorAsync(answer, status, status switch { 401 => "invalid_api_key", 403 => "model_not_allowed", _ => "no_backend" }, "/tokenize", status == 403 ? "model" : null);
    }

    [Fact]
    public async Task Health_NeedsNoKeyAndNoHost_AndSaysWhetherAModelCanTakeWork()
    {
        await using var gateway = await KeyedAsync();
        using var client = Client(gateway, null);
        client.DefaultRequestHeaders.Host = "balancer.example";
        foreach (var (method, status) in new[] { ("GET", 503), ("HEAD", 503), ("POST", 405) })
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), "/health");
            using var answer = await client.SendAsync(request, Ct);
            Assert.Equal(status, (int)answer.StatusCode);
        }

        await using var stub = StubBackend.Answers(Ok);
        gateway.Add(stub.Address);
        Assert.Equal("""{"status":"ok"}""", await client.GetStringAsync(new Uri("/health", UriKind.Relative), Ct));
    }

    [Fact]
    public async Task Models_AreListedForEachKeyInBothApisShapes()
    {
        await using var gateway = await KeyedAsync();
        using var all = Client(gateway, Plain);
        var list = JsonNode.Parse(await all.GetStringAsync(new Uri("/v1/models", UriKind.Relative), Ct))!;
        Assert.Equal(["m", "org/other:q4"], list["data"]!.AsArray().Select(entry => (string)entry!["id"]!));
        Assert.Equal(("list", false, "m", "org/other:q4"), ((string)list["object"]!, (bool)list["has_more"]!, (string)list["first_id"]!, (string)list["last_id"]!));
        var first = list["data"]![0]!;
        Assert.Equal(("model", "model", "m"), ((string)first["object"]!, (string)first["type"]!, (string)first["display_name"]!));
        Assert.NotNull((string)first["meta"]!["state"]!);

        using var some = Client(gateway, OnlyOther);
        list = JsonNode.Parse(await some.GetStringAsync(new Uri("/models", UriKind.Relative), Ct))!;
        Assert.Equal(["org/other:q4"], list["data"]!.AsArray().Select(entry => (string)entry!["id"]!));
    }

    [Theory]
    [InlineData("/v1/models/m", 200)]
    [InlineData("/models/m", 200)]
    [InlineData("/v1/models/org/other:q4", 200)]
    [InlineData("/v1/models/org%2Fother%3Aq4", 200)]
    [InlineData("/v1/models/alias", 200)]
    [InlineData("/v1/models/nope", 404)]
    [InlineData("/v1/models/M", 404)]
    public async Task Model_ByNameOrAlias_IsFound(string path, int status)
    {
        await using var gateway = await KeyedAsync();
        using var client = Client(gateway, Plain);
        foreach (var method in new[] { HttpMethod.Get, HttpMethod.Head })
        {
            using var request = new HttpRequestMessage(method, path);
            using var answer = await client.SendAsync(request, Ct);
            Assert.Equal(status, (int)answer.StatusCode);
        }
    }

    [Theory]
    [InlineData("""{"model":"org/other:q4"}""", "", "org/other:q4")]
    [InlineData("""{"model":"alias"}""", "", "org/other:q4")]
    [InlineData("""{}""", "?model=alias", "org/other:q4")]
    [InlineData("""{}""", "?model=org%2Fother%3Aq4", "org/other:q4")]
    [InlineData("""{"model":"m"}""", "?model=alias", "m")]
    [InlineData("""{"model":null}""", "?model=m&x=1", "m")]
    [InlineData("""{}""", "?model=nope", null)]
    [InlineData("""{}""", "?model=", null)]
    [InlineData("""{}""", "?model=m&model=alias", null)]
    public async Task Model_OfBodyThenQuery_Decides(string body, string query, string? model)
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await TwoModelsAsync();
        gateway.Add(stub.Address);
        gateway.Add(stub.Address, model: "org/other:q4");
        using var client = gateway.Client();
        using var content = new StringContent(body);
        using var answer = await client.PostAsync(new Uri("/v1/chat/completions" + query, UriKind.Relative), content, Ct);
        Assert.Equal(model, answer.Headers.TryGetValues("x-llmgateway-model", out var values) ? values.Single() : null);
        Assert.Equal(model is not null, answer.IsSuccessStatusCode);
        if (model is not null)
        {
            var seen = await stub.Seen.ReadAsync(Ct);
            Assert.StartsWith("POST /v1/chat/completions HTTP/1.1\r\n", seen, StringComparison.Ordinal);
            Assert.EndsWith("\r\n\r\n" + body, seen, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Transcription_FormField_NamesTheModelAndTheFormPassesUnchanged()
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await TwoModelsAsync();
        gateway.Add(stub.Address, model: "org/other:q4");
        using var client = gateway.Client();
        using var form = new MultipartFormDataContent("the-boundary")
        {
            { new ByteArrayContent([1, 2, 3, 13, 10, 45, 45]), "file", "a.wav" },
            { new StringContent("alias"), "model" },
        };
        var sent = await form.ReadAsStringAsync(Ct);
        using var answer = await client.PostAsync(new Uri("/v1/audio/transcriptions", UriKind.Relative), form, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var seen = await stub.Seen.ReadAsync(Ct);
        Assert.Contains("Content-Type: multipart/form-data; boundary=\"the-boundary\"\r\n", seen, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n" + sent, seen, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Parameters_OfTheModel_AreSetAndStrippedAndDecide()
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time, options => options with
        {
            SetParams = new JsonObject { ["cache_prompt"] = true, ["model"] = "theirs" },
            StripParams = ["n", "user"],
        });
        gateway.Add(stub.Address);
        using var client = gateway.Client();
        using var content = new StringContent("""{ "model": "m",  "user":"u", "n": 2, "messages": [ {"role":"user", "n":1} ] }""");
        using var answer = await client.PostAsync(new Uri("/v1/chat/completions", UriKind.Relative), content, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.EndsWith("\r\n\r\n{\"messages\": [ {\"role\":\"user\", \"n\":1} ],\"cache_prompt\":true,\"model\":\"theirs\"}", await stub.Seen.ReadAsync(Ct), StringComparison.Ordinal);
        await Eventually.TrueAsync(() => gateway.Budget.Held == 0, "the body to be given back", Ct);
    }

    [Fact]
    public async Task Cors_AllowedOrigin_IsAnsweredAndNoOther()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time, root: options => options with
        {
            Gateway = options.Gateway with { CorsOrigins = ["http://app.example:3000"] },
            Keys = [Key("plain", Plain)],
        });
        using var client = gateway.Client();
        foreach (var (origin, status) in new[] { ("http://app.example:3000", 204), ("http://evil.example", 403) })
        {
            using var preflight = new HttpRequestMessage(HttpMethod.Options, "/v1/chat/completions");
            preflight.Headers.Add("Origin", origin);
            preflight.Headers.Add("Access-Control-Request-Method", "POST");
            preflight.Headers.Add("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os");
            using var answer = await client.SendAsync(preflight, Ct);
            Assert.Equal(status, (int)answer.StatusCode);
            Assert.Equal(status == 204 ? origin : null, answer.Headers.TryGetValues("Access-Control-Allow-Origin", out var allowed) ? allowed.Single() : null);
            Assert.False(answer.Headers.Contains("Access-Control-Allow-Credentials"));
        }

        using var call = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        call.Headers.Add("Origin", "http://app.example:3000");
        using var refused = await client.SendAsync(call, Ct);
        Assert.Equal((401, "http://app.example:3000"), ((int)refused.StatusCode, refused.Headers.GetValues("Access-Control-Allow-Origin").Single()));
        Assert.Contains("x-request-id", refused.Headers.GetValues("Access-Control-Expose-Headers").Single(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, "GET", "/upstream/m/props", 401, "invalid_api_key")]
    [InlineData(Plain, "GET", "/upstream/m/props", 403, "model_not_allowed")]
    [InlineData(Admin, "GET", "/upstream/nope/props", 404, "model_not_found")]
    [InlineData(Admin, "GET", "/upstream/m", 404, "model_not_found")]
    [InlineData(Admin, "GET", "/upstream/", 404, "model_not_found")]
    [InlineData(Admin, "GET", "/upstream/m/", 404, "unknown_endpoint")]
    [InlineData(Admin, "GET", "/upstream/m/tools", 404, "unknown_endpoint")]
    [InlineData(Admin, "GET", "/upstream/m/cors-proxy?url=http://x/", 404, "unknown_endpoint")]
    [InlineData(Admin, "POST", "/upstream/m/models/load", 404, "unknown_endpoint")]
    [InlineData(Admin, "GET", "/upstream/m/PROPS", 404, "unknown_endpoint")]
    [InlineData(Admin, "GET", "/upstream/m//props", 404, "unknown_endpoint")]
    [InlineData(Admin, "GET", "/upstream/m/x/../../../props", 404, "unknown_endpoint")]
    [InlineData(Admin, "GET", "/upstream/m/%2e%2e/props", 404, "model_not_found")]
    [InlineData(Admin, "POST", "/upstream/m/slots/12345", 404, "unknown_endpoint")]
    [InlineData(Admin, "POST", "/upstream/m/slots/..%2Fprops", 404, "unknown_endpoint")]
    [InlineData(Admin, "DELETE", "/upstream/m/props", 405, "method_not_allowed")]
    [InlineData(Admin, "POST", "/upstream/m/slots", 405, "method_not_allowed")]
    [InlineData(Admin, "GET", "/upstream/m/v1/chat/completions", 405, "method_not_allowed")]
    [InlineData(Admin, "GET", "/upstream/org/other:q4/props", 503, "no_backend")]
    public async Task Upstream_WhatIsNotOnTheList_NeverReachesABackend(string? secret, string method, string path, int status, string code)
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await KeyedAsync();
        gateway.Add(stub.Address);
        using var client = Client(gateway, secret);
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(gateway.Url.AbsoluteUri.TrimEnd('/') + path, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
        using var answer = await client.SendAsync(request, Ct);
        await AssertErrorAsync(answer, status, code, "/upstream", code == "model_not_found" ? "model" : null);
        Assert.False(stub.Seen.TryPeek(out _));
    }

    [Theory]
    [InlineData("GET", "/upstream/m/props", "/props")]
    [InlineData("HEAD", "/upstream/m/health", "/health")]
    [InlineData("GET", "/upstream/m/slots?fail_on_no_slot=1&x=y", "/slots?fail_on_no_slot=1")]
    [InlineData("GET", "/upstream/m/metrics?model=%2e%2e", "/metrics")]
    [InlineData("GET", "/upstream/alias/props", "/props")]
    [InlineData("GET", "/upstream/org/other:q4/v1/models", "/v1/models")]
    [InlineData("GET", "/upstream/org%2Fother%3Aq4/lora-adapters", "/lora-adapters")]
    [InlineData("POST", "/upstream/m/slots/0?action=erase", "/slots/0?action=erase")]
    [InlineData("POST", "/upstream/m/slots/3?action=a%26b%3Dc", "/slots/3")]
    [InlineData("POST", "/upstream/m/props", "/props")]
    [InlineData("POST", "/upstream/m/v1/chat/completions", "/v1/chat/completions")]
    [InlineData("POST", "/upstream/alias/tokenize", "/tokenize")]
    public async Task Upstream_WhatIsOnTheList_ReachesTheBackendWithItsOwnKeyOnly(string method, string path, string seenPath)
    {
        await using var stub = StubBackend.Answers("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\n{}");
        await using var gateway = await KeyedAsync();
        gateway.Add(stub.Address);
        gateway.Add(stub.Address, model: "org/other:q4");
        using var client = Client(gateway, Admin);
        client.DefaultRequestHeaders.Add("Cookie", "a=b");
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = method == "POST" ? new StringContent("""{"model":"m"}""") : null };
        using var answer = await client.SendAsync(request, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.False(answer.Headers.Contains("Set-Cookie") || answer.Headers.Contains("Server") || answer.Headers.Contains("Access-Control-Allow-Origin"));

        var seen = await stub.Seen.ReadAsync(Ct);
        Assert.StartsWith($"{method} {seenPath} HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.Contains("Authorization: Bearer backend-key\r\n", seen, StringComparison.Ordinal);
        Assert.DoesNotContain(Admin, seen, StringComparison.Ordinal);
        Assert.DoesNotContain("Cookie", seen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(501, """{"error":{"code":501,"message":"Start it with `--props`"}}""")]
    [InlineData(400, """{"error":{"code":400,"message":"Invalid filename"}}""")]
    public async Task Upstream_RefusalOfTheBackend_IsShownToTheAdministrator(int status, string body)
    {
        await using var stub = StubBackend.Answers(Http(body, status));
        await using var gateway = await KeyedAsync();
        gateway.Add(stub.Address);
        using var client = Client(gateway, Admin);
        using var answer = await client.PostAsync(new Uri("/upstream/m/props", UriKind.Relative), new StringContent("{}"), Ct);
        Assert.Equal((status, body), ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync(Ct)));
    }

    [Fact]
    public async Task Upstream_BackendBreaks_Is502()
    {
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
            exchange.Reset();
        });
        await using var gateway = await KeyedAsync();
        gateway.Add(stub.Address);
        using var client = Client(gateway, Admin);
        using var answer = await client.GetAsync(new Uri("/upstream/m/props", UriKind.Relative), Ct);
        await AssertErrorAsync(answer, 502, "backend_failed", "/upstream");
    }

    [Fact]
    public async Task Upstream_WithoutKeysConfigured_IsClosed()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = gateway.Client();
        using var answer = await client.GetAsync(new Uri("/upstream/m/props", UriKind.Relative), Ct);
        await AssertErrorAsync(answer, 401, "invalid_api_key", "/upstream");
    }

    private static string Http(string body, int status = 200) =>
        $"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}";

    private static KeyOptions Key(string name, string secret, bool admin = false, params string[] models) => new()
    {
        Name = name,
        Hash = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret))),
        Admin = admin,
        Models = models.Length > 0 ? models : ["*"],
    };

    private static HttpClient Client(GatewayUnderTest gateway, string? secret)
    {
        var client = gateway.Client();
        client.DefaultRequestHeaders.Authorization = secret is null ? null : new AuthenticationHeaderValue("Bearer", secret);
        return client;
    }

    private static async Task AssertErrorAsync(HttpResponseMessage answer, int status, string code, string path, string? param = null)
    {
        Assert.Equal(status, (int)answer.StatusCode);
        Assert.Equal("application/json", answer.Content.Headers.ContentType?.ToString());
        Assert.True(answer.Headers.Contains("x-request-id"));
        Assert.Equal(status is 429 or 503, answer.Headers.RetryAfter is not null);
        Assert.False(answer.Headers.Contains("Server"));
        var json = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Ct))!.AsObject();
        var error = json["error"]!.AsObject();
        Assert.NotEmpty((string)error["message"]!);
        Assert.NotEmpty((string)error["type"]!);
        if (path.StartsWith("/v1/messages", StringComparison.Ordinal))
        {
            Assert.Equal(["type", "error", "request_id"], json.Select(member => member.Key));
            Assert.Equal(["type", "message"], error.Select(member => member.Key));
            Assert.Equal("error", (string)json["type"]!);
        }
        else
        {
            Assert.Equal(["error"], json.Select(member => member.Key));
            Assert.Equal((code, param), ((string)error["code"]!, (string?)error["param"]));
        }
    }

    private Task<GatewayUnderTest> TwoModelsAsync(params KeyOptions[] keys) => GatewayUnderTest.StartAsync(_time, root: options => options with
    {
        Keys = keys,
        Models = new Dictionary<string, ModelOptions>
        {
            ["m"] = Configured.Remote(),
            ["org/other:q4"] = Configured.Remote(change: model => model with { Aliases = ["alias"] }),
        },
    });

    private Task<GatewayUnderTest> KeyedAsync() => TwoModelsAsync(Key("admin", Admin, admin: true), Key("plain", Plain), Key("only-other", OnlyOther, models: "org/other:q4"));
}
