using System.Net;
using System.Net.Sockets;
using LlmGateway.TestKit;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public abstract partial class BackendFacts
{
    [Fact]
    public async Task Health_WhileLoading_Is503AndThenOk()
    {
        using var folder = new TemporaryFolder();
        var socketPath = Path.Combine(folder.Path, "x.sock");
        await using var process = fixture.Launch(["--host", socketPath, "-np", "1", .. fixture.SlowLoading]);
        using var client = new HttpClient(new SocketsHttpHandler { ConnectCallback = (_, c) => ConnectAsync(socketPath, c) }) { BaseAddress = new Uri("http://localhost/") };

        var seen = new List<string>();
        await Eventually.TrueAsync(
            async () =>
            {
                var health = await TryGetAsync(client, "health");
                if (health is not null && health != seen.LastOrDefault())
                {
                    seen.Add(health);
                }

                return health?.StartsWith("200", StringComparison.Ordinal) ?? false;
            },
            "the server to become healthy",
            Cancellation);

        Assert.Equal(["503 {\"error\":{\"message\":\"Loading model\",\"type\":\"unavailable_error\",\"code\":503}}", "200 {\"status\":\"ok\"}"], seen);
        await process.WaitForLineAsync(l => l.EndsWith($"listening on unix://{socketPath}", StringComparison.Ordinal), Cancellation);
    }

    [Theory]
    [InlineData("GET", "/v1/models")]
    [InlineData("GET", "/props")]
    [InlineData("GET", "/nowhere")]
    [InlineData("POST", "/v1/chat/completions")]
    public async Task EveryPath_WhileLoading_Is503(string method, string path)
    {
        using var folder = new TemporaryFolder();
        var socketPath = Path.Combine(folder.Path, "x.sock");
        await using var process = fixture.Launch(["--host", socketPath, "-np", "1", .. fixture.SlowLoading]);
        using var client = new HttpClient(new SocketsHttpHandler { ConnectCallback = (_, c) => ConnectAsync(socketPath, c) }) { BaseAddress = new Uri("http://localhost/") };
        await Eventually.TrueAsync(async () => await TryGetAsync(client, "health") is not null, "the socket to accept", Cancellation);

        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        using var response = await client.SendAsync(request, Cancellation);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Contains("Loading model", await response.Content.ReadAsStringAsync(Cancellation), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/health")]
    [InlineData("/v1/health")]
    public async Task Health_WhenReady_IsOk(string path)
    {
        var backend = await SharedAsync();

        var reply = await backend.GetAsync(path, Cancellation);

        Assert.Equal((HttpStatusCode.OK, "{\"status\":\"ok\"}"), (reply.Status, reply.Body));
        Assert.Equal("llama.cpp", reply.Header("Server"));
        Assert.Equal("timeout=5, max=100", reply.Header("Keep-Alive"));
        Assert.Equal(HttpStatusCode.OK, (await backend.SendAsync(HttpMethod.Head, path, null, Cancellation)).Status);
    }

    [Theory]
    [InlineData("/v1/models")]
    [InlineData("/models")]
    public async Task Models_WithTwoAliases_AreNamedByTheFirstInOrder(string path)
    {
        var backend = await SharedAsync();

        var models = (await backend.GetAsync(path, Cancellation)).Json;

        Assert.Equal("models object data", models.Members());
        var model = models.GetProperty("data")[0];
        Assert.Equal("id aliases tags object architecture created owned_by meta", model.Members());
        Assert.Equal("alpha", model.Text("id"));
        Assert.Equal(["alpha", "zeta"], model.GetProperty("aliases").EnumerateArray().Select(a => a.GetString()!));
        Assert.Equal("llamacpp", model.Text("owned_by"));
        Assert.Equal("vocab_type n_vocab n_ctx n_ctx_train n_embd n_params size ftype", model.GetProperty("meta").Members());
    }

    [Fact]
    public async Task Props_TellSlotsAndTheContextOfEach()
    {
        var backend = await SharedAsync();

        var props = (await backend.GetAsync("/props", Cancellation)).Json;

        Assert.Equal(
            "default_generation_settings total_slots model_alias model_ftype model_path modalities media_marker endpoint_slots endpoint_props endpoint_metrics ui ui_settings "
            + "chat_template chat_template_caps bos_token eos_token build_info is_sleeping cors_proxy_enabled",
            props.Members());
        Assert.Equal(BackendFixture.Slots, props.Number("total_slots"));
        Assert.Equal(BackendFixture.SlotContext, props.GetProperty("default_generation_settings").Number("n_ctx"));
        Assert.Equal("alpha", props.Text("model_alias"));
        Assert.StartsWith("b11669-", props.Text("build_info"), StringComparison.Ordinal);
        Assert.False(props.GetProperty("is_sleeping").GetBoolean());
    }

    [Fact]
    public async Task Slots_BeforeDuringAndAfterUse_ShowWhatRuns()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "30000", "-t", "1");
        var unused = (await backend.GetAsync("/slots", Cancellation)).Json[0];
        Assert.Equal("id n_ctx speculative is_processing", unused.Members());

        using (await backend.SendRawAsync("/v1/chat/completions", Chat("hello", "\"stream\":true,\"max_tokens\":25000"), Cancellation))
        {
            var busy = await Eventually.GetAsync(
                async () => (await backend.GetAsync("/slots", Cancellation)).Json[0],
                slot => slot.TryGetProperty("next_token", out var next) && next[0].Number("n_decoded") > 10,
                "tokens to be counted",
                Cancellation);
            Assert.True(busy.GetProperty("is_processing").GetBoolean());
            Assert.Equal(
                "id n_ctx speculative is_processing id_task n_prompt_tokens n_prompt_tokens_processed n_prompt_tokens_cache params next_token",
                busy.Members());
            Assert.Equal("has_next_token has_new_line n_remain n_decoded", busy.GetProperty("next_token")[0].Members());
            Assert.Equal(25000, busy.GetProperty("params").Number("max_tokens"));
            Assert.True(busy.Number("n_prompt_tokens") > busy.Number("n_prompt_tokens_processed"));
        }

        await backend.SlotsBecomeIdleAsync(Cancellation);
        var used = (await backend.GetAsync("/slots", Cancellation)).Json[0];
        Assert.Equal(0, used.GetProperty("next_token")[0].Number("n_decoded"));
        Assert.Equal(0, used.Number("n_prompt_tokens_processed"));
        Assert.DoesNotContain("hello", used.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Slots_AllBusyAndAskedToFail_Are503()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "30000", "-t", "1");
        using var stream = await backend.SendRawAsync("/v1/chat/completions", Chat("hello", "\"stream\":true,\"max_tokens\":25000"), Cancellation);
        await backend.SlotsBecomeBusyAsync(1, Cancellation);

        var reply = await backend.GetAsync("/slots?fail_on_no_slot=1", Cancellation);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, reply.Status);
        Assert.Equal("{\"error\":{\"code\":503,\"message\":\"no slot available\",\"type\":\"unavailable_error\"}}", reply.Body);
    }

    [Fact]
    public async Task Metrics_WhenEnabled_HaveTheseNames()
    {
        var backend = await SharedAsync();

        var reply = await backend.GetAsync("/metrics", Cancellation);

        Assert.Equal("text/plain; version=0.0.4", reply.Header("Content-Type"));
        Assert.Equal(
            [
                "counter prompt_tokens_total", "counter prompt_tokens_cached_total", "counter prompt_seconds_total", "counter tokens_predicted_total",
                "counter tokens_predicted_seconds_total", "counter n_decode_total", "counter n_tokens_max", "counter spec_decode_num_draft_tokens_total",
                "counter spec_decode_num_accepted_tokens_total", "counter spec_decode_num_drafts_total", "gauge prompt_tokens_seconds",
                "gauge predicted_tokens_seconds", "gauge requests_processing", "gauge requests_deferred", "gauge n_busy_slots_per_decode",
            ],
            reply.Body.Split('\n').Where(l => l.StartsWith("# TYPE", StringComparison.Ordinal)).Select(l => l.Split(' ')).Select(w => $"{w[3]} {w[2]["llamacpp:".Length..]}"));
    }

    [Fact]
    public async Task Metrics_AfterAnAnswer_CountItsTokens()
    {
        var backend = await SharedAsync();
        var before = await backend.MetricAsync("tokens_predicted_total", Cancellation);

        await backend.PostAsync("/v1/chat/completions", Chat("count me", "\"max_tokens\":7"), Cancellation);

        // The real server counts the last token after the reply has left.
        await Eventually.GetAsync(
            () => backend.MetricAsync("tokens_predicted_total", Cancellation),
            now => now - before == 7,
            $"7 more than {before}",
            Cancellation);
    }

    [Fact]
    public async Task MonitoringEndpoints_WhenDisabled_Are501()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "512", "-t", "1", "--no-slots");

        var metrics = await backend.GetAsync("/metrics", Cancellation);
        var slots = await backend.GetAsync("/slots", Cancellation);

        Assert.Equal((HttpStatusCode)501, metrics.Status);
        Assert.Equal("{\"error\":{\"code\":501,\"message\":\"This server does not support metrics endpoint. Start it with `--metrics`\",\"type\":\"not_supported_error\"}}", metrics.Body);
        Assert.Equal((HttpStatusCode)501, slots.Status);
        Assert.Equal("{\"error\":{\"code\":501,\"message\":\"This server does not support slots endpoint. Start it with `--slots`\",\"type\":\"not_supported_error\"}}", slots.Body);
    }

    private static async ValueTask<Stream> ConnectAsync(string socketPath, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <returns>Status and body, or null while nobody listens.</returns>
    private static async Task<string?> TryGetAsync(HttpClient client, string path)
    {
        try
        {
            using var response = await client.GetAsync(new Uri(path, UriKind.Relative), Cancellation);
            return $"{(int)response.StatusCode} {await response.Content.ReadAsStringAsync(Cancellation)}";
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }
}
