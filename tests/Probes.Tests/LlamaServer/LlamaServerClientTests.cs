using LlmGateway.Probes.LlamaServer;
using LlmGateway.Probes.Tests.Fakes;
using Microsoft.AspNetCore.Http;

namespace LlmGateway.Probes.Tests.LlamaServer;

/// <summary>Bodies as llama-server build 11669 gave them, shortened.</summary>
public sealed class LlamaServerClientTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task GetProps_RealBody_TellsSlotsContextAndName()
    {
        await using var server = await StubServer.StartAsync(200, """
            {"default_generation_settings":{"id":0,"params":{"seed":4294967295},"n_ctx":512},"total_slots":2,"model_alias":"qwen",
             "model_path":"/m.gguf","modalities":{"vision":false},"chat_template":"{{x}}","build_info":"b11669-Debian","is_sleeping":false}
            """);
        using var client = new LlamaServerClient(server.Address, "key");

        Assert.Equal(new LlamaServerProps(2, 512, "qwen", "b11669-Debian"), await client.GetPropsAsync(Ct));
        var (path, headers, _) = Assert.Single(server.Requests);
        Assert.Equal(("/props", "Bearer key"), (path, headers.Authorization.ToString()));
    }

    [Fact]
    public async Task GetSlots_IdleAndBusy_TellsCounters()
    {
        await using var server = await StubServer.StartAsync(200, """
            [{"id":0,"n_ctx":2048,"speculative":false,"is_processing":false},
             {"id":1,"n_ctx":2048,"is_processing":true,"id_task":7,"n_prompt_tokens":30,"n_prompt_tokens_processed":20,"n_prompt_tokens_cache":10,
              "params":{"n_predict":-1},"next_token":[{"has_next_token":true,"has_new_line":false,"n_remain":-1,"n_decoded":5}]},
             {"id":2,"is_processing":true,"id_task":8,"next_token":{"n_decoded":6}}]
            """);
        using var client = new LlamaServerClient(server.Address);

        Assert.Equal(
            [new(0, false, null, 0, 0, 0, 0), new(1, true, 7, 5, 30, 20, 10), new(2, true, 8, 6, 0, 0, 0)],
            await client.GetSlotsAsync(Ct));
    }

    [Fact]
    public async Task GetMetrics_PrometheusText_TellsTheQueue()
    {
        await using var server = await StubServer.StartAsync(200, """
            # HELP llamacpp:requests_processing Number of requests processing.
            # TYPE llamacpp:requests_processing gauge
            llamacpp:requests_processing 2
            # TYPE llamacpp:requests_deferred gauge
            llamacpp:requests_deferred 14
            llamacpp:requests_deferred_other 99

            """, "text/plain; version=0.0.4");
        using var client = new LlamaServerClient(server.Address);
        Assert.Equal(new LlamaServerGauges(2, 14), await client.GetMetricsAsync(Ct));
    }

    [Theory]
    [InlineData(200, LlamaServerHealth.Ok)]
    [InlineData(503, LlamaServerHealth.Loading)]
    public async Task GetHealth_Status_TellsTheState(int status, LlamaServerHealth health)
    {
        await using var server = await StubServer.StartAsync(status);
        using var client = new LlamaServerClient(server.Address);
        Assert.Equal(health, await client.GetHealthAsync(Ct));
    }

    [Theory]
    [InlineData(501, "{\"error\":{}}")]
    [InlineData(401, "{\"error\":{}}")]
    [InlineData(200, "<html>")]
    [InlineData(200, "null")]
    [InlineData(200, "[1,2]")]
    public async Task GetProps_UselessAnswer_SaysWhatCame(int status, string body)
    {
        await using var server = await StubServer.StartAsync(status, body);
        using var client = new LlamaServerClient(server.Address);
        var e = await Assert.ThrowsAsync<LlamaServerException>(() => client.GetPropsAsync(Ct));
        Assert.Equal(status, e.Status);
        Assert.DoesNotContain(body, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GetSlots_BodyOverAMebibyte_IsRefused()
    {
        await using var server = await StubServer.StartAsync(200, new string(' ', 1024 * 1024) + "[]");
        using var client = new LlamaServerClient(server.Address);
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetSlotsAsync(Ct));
    }

    [Fact]
    public async Task GetProps_PassingTrouble_IsAskedOnceOrRetriedAsMade()
    {
        var calls = 0;
        await using var server = await StubServer.StartAsync(context =>
        {
            context.Response.StatusCode = Interlocked.Increment(ref calls) % 3 == 0 ? 200 : 503;
            return context.Response.WriteAsync("""{"total_slots":1}""");
        });
        using var once = new LlamaServerClient(server.Address);
        await Assert.ThrowsAsync<LlamaServerException>(() => once.GetPropsAsync(Ct));
        Assert.Equal(1, calls);

        using var patient = LlamaServerClient.WithRetries(server.Address, null, TimeSpan.FromSeconds(30), TimeProvider.System);
        Assert.Equal(1, (await patient.GetPropsAsync(Ct)).TotalSlots);
        Assert.Equal(3, calls);
    }
}
