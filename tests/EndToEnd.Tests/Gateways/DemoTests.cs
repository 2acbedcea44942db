using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>The gateway of the repository's own <c>config/gateway.json</c>, as a newcomer starts it; only its addresses are the test's.</summary>
public sealed class DemoGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Gateway = await GatewayProcess.StartWithArgumentsAsync(
            ["--config", Path.Combine(RepositoryPaths.Root, "config", "gateway.json"), "--Gateway:MaxRequestBody=64KiB"], ["demo"], TestContext.Current.CancellationToken);
        await Gateway.UntilReadyAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (Gateway is not null)
        {
            await Gateway.DisposeAsync();
        }
    }
}

public sealed class DemoTests(DemoGateway demo) : IClassFixture<DemoGateway>
{
    private const int Limit = 60_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => demo.Gateway;

    [Fact(Timeout = Limit)]
    public async Task Banner_NamesBothUrlsTheSimulationAndACurlLineThatStreams()
    {
        foreach (var part in new[] { "SIMULATED", $"base URL {Gateway.DataUrl}v1", Gateway.TokenFile })
        {
            await Gateway.Process.WaitForLineAsync(line => line.Contains(part, StringComparison.Ordinal), Ct);
        }

        // Through a shell, as a person pastes it.
        var line = await Gateway.Process.WaitForLineAsync(line => line.StartsWith("  curl ", StringComparison.Ordinal), Ct);
        await using var shell = LlmGateway.TestKit.Processes.ChildProcess.Start("sh", ["-c", line.Trim()]);
        Assert.Equal(0, await shell.WaitForExitAsync(Ct, TimeSpan.FromSeconds(30)));
        await shell.WaitForOutputAsync(Ct);
        Assert.True(shell.Lines.Count(text => text.StartsWith("data: {", StringComparison.Ordinal)) > 10, shell.Output);
        Assert.Contains("data: [DONE]", shell.Lines);
    }

    [Fact(Timeout = Limit)]
    public async Task HealthEndpoints_ReadyGateway_Answer()
    {
        using var anonymous = new HttpClient { BaseAddress = Gateway.ManagementUrl };
        Assert.Equal("ok", await anonymous.GetStringAsync(new Uri("healthz", UriKind.Relative), Ct));
        Assert.Equal("ready", await anonymous.GetStringAsync(new Uri("readyz", UriKind.Relative), Ct));
        Assert.Contains("llmgateway_backend_state", await anonymous.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct), StringComparison.Ordinal);
        using var health = await Gateway.Data.GetAsync(new Uri("health", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Status_ReadyGateway_TellsOfModelAndReplicasAndNoSecret()
    {
        var status = await Gateway.UntilReadyAsync(Ct);

        Assert.False(status.Gateway.Draining);
        var model = Assert.Single(status.Models);
        Assert.Equal(("demo", "ready", 0), (model.Name, model.State, model.Queue.Depth));
        Assert.Equal(["demo/0", "demo/1"], model.Replicas.Select(replica => replica.Backend));
        Assert.All(model.Replicas, replica =>
        {
            Assert.Equal(("simulator", 4), (replica.Kind, replica.Slots.Total));
            Assert.NotNull(replica.Pid);
            Assert.Null(replica.NotRoutableBecause);
        });
        var token = (await File.ReadAllTextAsync(Gateway.TokenFile, Ct)).Trim();
        Assert.DoesNotContain(token, status.Json, StringComparison.Ordinal);
        Assert.DoesNotContain("apiKey", status.Json, StringComparison.OrdinalIgnoreCase);
    }

    [Theory(Timeout = Limit)]
    [InlineData("api/status")]
    [InlineData("api/replicas/demo/0/logs")]
    public async Task Management_WithoutToken_IsRefused(string path)
    {
        using var anonymous = new HttpClient { BaseAddress = Gateway.ManagementUrl };
        using var refused = await anonymous.GetAsync(new Uri(path, UriKind.Relative), Ct);
        await refused.AssertErrorAsync(HttpStatusCode.Unauthorized, "invalid_token", Ct);

        using var wrong = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "Authorization", "Bearer 0123456789abcdef0123456789abcdef" } } };
        using var alsoRefused = await anonymous.SendAsync(wrong, Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, alsoRefused.StatusCode);

        using var allowed = await Gateway.Management.GetAsync(new Uri(path, UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.OK, allowed.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public void TokenFile_IsOnlyItsOwners() =>
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, OperatingSystem.IsWindows() ? default : File.GetUnixFileMode(Gateway.TokenFile));

    [Fact(Timeout = Limit)]
    public async Task Chat_Whole_AnswersAndSaysHowItCameAbout()
    {
        using var response = await Gateway.Data.ChatAsync("demo", 8, Ct);

        var answer = await response.JsonAsync(Ct);
        Assert.Equal("chat.completion", (string?)answer["object"]);
        Assert.Equal(8, (int)answer["usage"]!["completion_tokens"]!);
        Assert.Equal("demo", response.Header("x-llmgateway-model"));
        Assert.Matches("^demo/[01]$", response.Header("x-llmgateway-backend"));
        Assert.Matches("^[0-9]+$", response.Header("x-llmgateway-queue-ms"));
        Assert.Equal("1", response.Header("x-llmgateway-attempts"));
        Assert.Null(response.Header("server"));
        Assert.Null(response.Header("access-control-allow-origin"));
    }

    [Fact(Timeout = Limit)]
    public async Task Chat_Streamed_ComesTokenByTokenUpToItsEnd()
    {
        using var answer = await Gateway.Data.StreamAsync("demo", 12, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.True(answer.IsWhole, answer.ToString());
        Assert.Equal("text/event-stream", answer.Response.Content.Headers.ContentType?.MediaType);
        Assert.Equal("data: [DONE]", answer.Events[^1]);
        Assert.InRange(answer.Events.Count(text => text.Contains("\"content\":\"", StringComparison.Ordinal)), 12, 13);
    }

    [Theory(Timeout = Limit)]
    [InlineData("v1/messages", """{"model":"demo","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"hello"}]}""", "event: message_stop")]
    [InlineData("v1/responses", """{"model":"demo","stream":true,"max_output_tokens":8,"input":"hello"}""", "event: response.completed")]
    [InlineData("v1/completions", """{"model":"demo","stream":true,"max_tokens":8,"prompt":"hello"}""", "data: [DONE]")]
    [InlineData("completion", """{"model":"demo","stream":true,"n_predict":8,"prompt":"hello"}""", "\"stop\":true")]
    public async Task Stream_EachApi_EndsWithItsOwnLastEvent(string path, string body, string last)
    {
        using var answer = await Gateway.Data.StreamAsync(path, JsonNode.Parse(body)!, Ct);
        await answer.ReadToEndAsync(Ct);

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Null(answer.Fault);
        Assert.Contains(last, answer.Events[^1], StringComparison.Ordinal);
        Assert.False(answer.HasError);
    }

    [Fact(Timeout = Limit)]
    public async Task Tokenize_TakesNoSlotAndAnswers()
    {
        using var response = await Gateway.Data.PostAsJsonAsync("tokenize", new { model = "demo", content = "the water" }, Ct);
        Assert.NotEmpty((await response.JsonAsync(Ct))["tokens"]!.AsArray());
    }

    [Fact(Timeout = Limit)]
    public async Task Models_ListsTheModelWithItsState()
    {
        using var all = await Gateway.Data.GetAsync(new Uri("v1/models", UriKind.Relative), Ct);
        var entry = Assert.Single((await all.JsonAsync(Ct))["data"]!.AsArray())!;
        Assert.Equal(("demo", "model", "ready"), ((string)entry["id"]!, (string)entry["object"]!, (string)entry["meta"]!["state"]!));

        using var one = await Gateway.Data.GetAsync(new Uri("v1/models/demo", UriKind.Relative), Ct);
        Assert.Equal("demo", (string?)(await one.JsonAsync(Ct))["id"]);
        using var none = await Gateway.Data.GetAsync(new Uri("v1/models/nope", UriKind.Relative), Ct);
        await none.AssertErrorAsync(HttpStatusCode.NotFound, "model_not_found", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Chat_WithoutModel_GoesToTheOnlyOne()
    {
        using var response = await Gateway.Data.PostAsJsonAsync("v1/chat/completions", new { max_tokens = 1, messages = new[] { new { role = "user", content = "hi" } } }, Ct);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("demo", response.Header("x-llmgateway-model"));
    }

    [Theory(Timeout = Limit)]
    [InlineData("POST", "v1/nothing", "{}", HttpStatusCode.NotFound, "unknown_endpoint")]
    [InlineData("GET", "slots", null, HttpStatusCode.NotFound, "unknown_endpoint")]
    [InlineData("GET", "v1/chat/completions", null, HttpStatusCode.MethodNotAllowed, "method_not_allowed")]
    [InlineData("POST", "v1/models", "{}", HttpStatusCode.MethodNotAllowed, "method_not_allowed")]
    [InlineData("POST", "v1/chat/completions", """{"model":"demo","messages":""", HttpStatusCode.BadRequest, "invalid_json")]
    [InlineData("POST", "v1/chat/completions", "", HttpStatusCode.BadRequest, "invalid_json")]
    [InlineData("POST", "v1/chat/completions", """{"model":"demo","n":5,"messages":[]}""", HttpStatusCode.BadRequest, "invalid_parameter")]
    [InlineData("POST", "v1/chat/completions", """{"model":"nope","messages":[]}""", HttpStatusCode.NotFound, "model_not_found")]
    public async Task Request_Wrong_IsRefusedInOpenAisShape(string method, string path, string? body, HttpStatusCode status, string code)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        using var response = await Gateway.Data.SendAsync(request, Ct);
        await response.AssertErrorAsync(status, code, Ct);
    }

    [Theory(Timeout = Limit)]
    [InlineData("""{"model":"demo","messages":""", HttpStatusCode.BadRequest, "invalid_request_error")]
    [InlineData("""{"model":"nope","messages":[]}""", HttpStatusCode.NotFound, "not_found_error")]
    public async Task Messages_Wrong_IsRefusedInAnthropicsShape(string body, HttpStatusCode status, string type)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var response = await Gateway.Data.PostAsync(new Uri("v1/messages", UriKind.Relative), content, Ct);

        Assert.Equal(status, response.StatusCode);
        var answer = await response.JsonAsync(Ct);
        Assert.Equal(("error", type), ((string)answer["type"]!, (string)answer["error"]!["type"]!));
        Assert.Equal(response.Header("x-request-id"), (string?)answer["request_id"]);
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Request_TooLarge_Is413(bool chunked)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions") { Content = new StringContent(new string(' ', 80 * 1024)) };
        request.Headers.TransferEncodingChunked = chunked;
        using var response = await Gateway.Data.SendAsync(request, Ct);
        await response.AssertErrorAsync(HttpStatusCode.RequestEntityTooLarge, "body_too_large", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Request_Compressed_Is415()
    {
        using var content = new ByteArrayContent([0x1f, 0x8b, 8]) { Headers = { ContentEncoding = { "gzip" } } };
        using var response = await Gateway.Data.PostAsync(new Uri("v1/chat/completions", UriKind.Relative), content, Ct);
        await response.AssertErrorAsync(HttpStatusCode.UnsupportedMediaType, "unsupported_encoding", Ct);
    }

    [Theory(Timeout = Limit)]
    [InlineData("evil.example", "v1/models", 421)]
    [InlineData("evil.example:80", "v1/models", 421)]
    [InlineData("localhost", "v1/models", 200)]
    [InlineData("[::1]:1234", "v1/models", 200)]
    [InlineData("evil.example", "health", 200)]
    public async Task Host_OnlyOurNames_Pass(string host, string path, int status)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { Host = host } };
        using var response = await Gateway.Data.SendAsync(request, Ct);
        Assert.Equal(status, (int)response.StatusCode);
        if (status == 421)
        {
            await response.AssertErrorAsync(HttpStatusCode.MisdirectedRequest, "host_not_allowed", Ct);
        }
    }

    [Theory(Timeout = Limit)]
    [InlineData("Origin", "https://evil.example")]
    [InlineData("Origin", "null")]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    public async Task Origin_Foreign_IsRefusedOnBothListeners(string header, string value)
    {
        foreach (var (client, path) in new[] { (Gateway.Data, "v1/models"), (Gateway.Management, "api/status") })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { header, value } } };
            using var response = await client.SendAsync(request, Ct);
            await response.AssertErrorAsync(HttpStatusCode.Forbidden, "origin_not_allowed", Ct);
        }
    }

    [Theory(Timeout = Limit)]
    [InlineData("abc-123_X.y:z", true)]
    [InlineData("a", true)]
    [InlineData("has space", false)]
    [InlineData("line\tbreak", false)]
    [InlineData("<script>", false)]
    public async Task RequestId_HarmlessIsKept_ElseReplaced(string offered, bool isKept)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "v1/models");
        request.Headers.TryAddWithoutValidation("x-request-id", offered);
        using var response = await Gateway.Data.SendAsync(request, Ct);

        var id = response.Header("x-request-id");
        Assert.NotNull(id);
        Assert.Equal(isKept, id == offered);
    }

    [Fact(Timeout = Limit)]
    public async Task RequestId_TooLong_IsReplaced()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "v1/models") { Headers = { { "x-request-id", new string('a', 129) } } };
        using var response = await Gateway.Data.SendAsync(request, Ct);
        Assert.InRange(response.Header("x-request-id")!.Length, 1, 128);
    }

    [Fact(Timeout = Limit)]
    public async Task Logs_OfAReplica_HoldWhatItWrote()
    {
        var log = await Gateway.Management.GetStringAsync(new Uri("api/replicas/demo/0/logs?tail=50", UriKind.Relative), Ct);
        Assert.Contains("listening on", log, StringComparison.Ordinal);
        using var unknown = await Gateway.Management.GetAsync(new Uri("api/replicas/demo/9/logs", UriKind.Relative), Ct);
        await unknown.AssertErrorAsync(HttpStatusCode.NotFound, "unknown_replica", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Output_NeverHoldsAPrompt()
    {
        const string Secret = "xyzzy-plugh-4711";
        using var answer = await Gateway.Data.PostAsJsonAsync("v1/chat/completions", new { model = "demo", max_tokens = 2, messages = new[] { new { role = "user", content = Secret } } }, Ct);
        answer.EnsureSuccessStatusCode();
        using var refused = await Gateway.Data.PostAsJsonAsync("v1/chat/completions", new { model = Secret, messages = Array.Empty<string>() }, Ct);
        Assert.Equal(HttpStatusCode.NotFound, refused.StatusCode);

        Assert.DoesNotContain(Secret, await refused.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, Gateway.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, await Gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct), StringComparison.Ordinal);
    }
}
