using System.Diagnostics;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.Gateway.Tests.Forwarding;
using OpenTelemetry;
using OpenTelemetry.Trace;

namespace LlmGateway.Gateway.Tests.Telemetry;

/// <summary>Spans are heard by the whole process: nothing else runs meanwhile.</summary>
[CollectionDefinition(nameof(SpansAreExported), DisableParallelization = true)]
public sealed class SpansAreExported;

[Collection(nameof(SpansAreExported))]
public sealed class TraceTests
{
    private const string TraceId = "0af7651916cd43dd8448eb211c80319c";
    private const string ClientSpan = "b7ad6b7169203331";
    private const string Prompt = "xyzzy-plugh-4711";
    private const string Body = $$"""{"model":"m","stream":true,"messages":[{"role":"user","content":"{{Prompt}}"}]}""";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Request_QueuedRetriedStreamed_HasTheRightParentsTimesAndAttributes()
    {
        var spans = new List<Activity>();
        using var provider = Sdk.CreateTracerProviderBuilder().AddSource(Traces.Sources).AddInMemoryExporter(spans).Build();
        await using var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System);
        var release = new TaskCompletionSource();
        await using var second = new StubBackend(StreamAsync);
        var count = 0;
        await using var first = new StubBackend(async exchange =>
        {
            if (count++ == 0)
            {
                await release.Task;
                await StreamAsync(exchange);
                return;
            }

            // The other one is there now: it will get the retry.
            gateway.Add(second.Address, index: 1);
            await exchange.WriteAsync("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops");
        });
        gateway.Add(first.Address);

        using var holder = await gateway.SendAsync(Body);
        await first.Seen.ReadAsync(Ct);
        using var client = await gateway.SendAsync(Body, headers: $"traceparent: 00-{TraceId}-{ClientSpan}-01\r\nx-request-id: traced\r\n");
        await gateway.UntilQueuedAsync("m", 1);
        var queuedUntil = TimeProvider.System.GetUtcNow().UtcDateTime;
        release.SetResult();
        await client.ReadUntilAsync("[DONE]");
        await first.Seen.ReadAsync(Ct);
        var seen = await second.Seen.ReadAsync(Ct);
        await gateway.DisposeAsync(); // all spans have ended
        provider.ForceFlush();

        var trace = spans.Where(span => span.TraceId.ToString() == TraceId).OrderBy(span => span.StartTimeUtc).ToList();
        var request = Assert.Single(trace, span => span.Kind == ActivityKind.Server);
        Assert.Equal(ClientSpan, request.ParentSpanId.ToString());
        Assert.Equal("chat m", request.DisplayName);
        Assert.All(trace.Where(span => span != request), span => Assert.Equal(request.SpanId, span.ParentSpanId));
        Assert.Equal(["queue", "attempt", "queue", "attempt"], trace.Where(span => span != request).Select(span => span.OperationName));
        Assert.All(trace, span => Assert.InRange(span.StartTimeUtc, request.StartTimeUtc, request.StartTimeUtc + request.Duration));

        var queue = trace.First(span => span.OperationName == "queue");
        Assert.InRange(queuedUntil, queue.StartTimeUtc, queue.StartTimeUtc + queue.Duration);
        Assert.Equal("m/0", queue.GetTagItem("llmgateway.backend"));

        Activity[] attempts = [.. trace.Where(span => span.OperationName == "attempt")];
        Assert.All(attempts, attempt => Assert.Equal((ActivityKind.Client, "chat m"), (attempt.Kind, attempt.DisplayName)));
        Assert.Equal(("m/0", 1, 500, "failed", ActivityStatusCode.Error), Facts(attempts[0]));
        Assert.Equal(("m/1", 2, 200, "complete", ActivityStatusCode.Unset), Facts(attempts[1]));
        Assert.Equal(second.Address.BaseUri.Port, attempts[1].GetTagItem("server.port"));
        Assert.Equal("first_token", Assert.Single(attempts[1].Events).Name);
        Assert.Contains($"traceparent: {attempts[1].Id}\r\n", seen, StringComparison.OrdinalIgnoreCase);

        Assert.Equal(
            ("chat", "llama.cpp", "m", true, "ok", "traced", 200),
            (request.GetTagItem("gen_ai.operation.name"), request.GetTagItem("gen_ai.provider.name"), request.GetTagItem("gen_ai.request.model"), request.GetTagItem("gen_ai.request.stream"),
                request.GetTagItem("llmgateway.outcome"), request.GetTagItem("llmgateway.request.id"), request.GetTagItem("http.response.status_code")));
        Assert.Equal((7L, 2L, 3L), (request.GetTagItem("gen_ai.usage.input_tokens"), request.GetTagItem("gen_ai.usage.output_tokens"), request.GetTagItem("gen_ai.usage.cache_read.input_tokens")));
        Assert.InRange((double)request.GetTagItem("gen_ai.response.time_to_first_chunk")!, 0, request.Duration.TotalSeconds);
        Assert.DoesNotContain(trace.SelectMany(span => span.TagObjects), tag => tag.Value?.ToString()?.Contains(Prompt, StringComparison.Ordinal) == true);
    }

    [Fact]
    public async Task Stream_ContinuedElsewhere_HasASpanForEachOfItsBackends()
    {
        var spans = new List<Activity>();
        using var provider = Sdk.CreateTracerProviderBuilder().AddSource(Traces.Sources).AddInMemoryExporter(spans).Build();
        await using var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System, model => model with { Retry = model.Retry with { RecoverStreams = true } });
        await using var second = new StubBackend(StreamAsync);
        await using var first = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
            gateway.Add(second.Address, index: 1);
            exchange.Close();
        });
        gateway.Add(first.Address);

        // The limit to the first token does not keep a stream from being continued.
        using var client = await gateway.SendAsync(Body, headers: $"traceparent: 00-{TraceId}-{ClientSpan}-01\r\nx-llmgateway-timeout-ms: 20000\r\n");
        Assert.DoesNotContain("error", await client.ReadUntilAsync("[DONE]"), StringComparison.Ordinal);
        var asked = await second.Seen.ReadAsync(Ct);
        while (!asked.StartsWith("POST /v1/chat", StringComparison.Ordinal))
        {
            asked = await second.Seen.ReadAsync(Ct);
        }

        await gateway.DisposeAsync();
        provider.ForceFlush();

        var trace = spans.Where(span => span.TraceId.ToString() == TraceId).OrderBy(span => span.StartTimeUtc).ToList();
        var request = Assert.Single(trace, span => span.Kind == ActivityKind.Server);
        Assert.All(trace.Where(span => span != request), span => Assert.Equal(request.SpanId, span.ParentSpanId));
        Assert.Equal(["queue", "attempt", "queue", "attempt"], trace.Where(span => span != request).Select(span => span.OperationName));
        Activity[] attempts = [.. trace.Where(span => span.OperationName == "attempt")];
        Assert.Equal(("m/0", 1, 200, "broken", ActivityStatusCode.Error), Facts(attempts[0]));
        Assert.Equal(("m/1", 2, 200, "complete", ActivityStatusCode.Unset), Facts(attempts[1]));
        Assert.InRange(attempts[0].StartTimeUtc + attempts[0].Duration, attempts[0].StartTimeUtc, attempts[1].StartTimeUtc);
        Assert.Contains($"traceparent: {attempts[1].Id}\r\n", asked, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("ok", request.GetTagItem("llmgateway.outcome"));
    }

    [Fact]
    public async Task Request_Refused_HasASpanToo()
    {
        var spans = new List<Activity>();
        using var provider = Sdk.CreateTracerProviderBuilder().AddSource(Traces.Sources).AddInMemoryExporter(spans).Build();
        await using (var gateway = await GatewayUnderTest.StartAsync(TimeProvider.System))
        {
            using var client = await gateway.SendAsync("""{"model":"xyzzy"}""", headers: $"traceparent: 00-{TraceId}-{ClientSpan}-01\r\n");
            await client.ReadUntilAsync("model_not_found");
        }

        provider.ForceFlush();
        var span = Assert.Single(spans, span => span.TraceId.ToString() == TraceId);
        Assert.Equal(404, span.GetTagItem("http.response.status_code"));
        Assert.DoesNotContain(span.TagObjects, tag => tag.Value?.ToString()?.Contains("xyzzy", StringComparison.Ordinal) == true);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317")]
    [InlineData(true, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4317")]
    [InlineData(false, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317", "OTEL_SDK_DISABLED=true")]
    [InlineData(false, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317", "OTEL_TRACES_EXPORTER=none")]
    [InlineData(false, "OTEL_EXPORTER_OTLP_ENDPOINT= ")]
    public void IsWanted_ByTheStandardVariables_OnlyWithAnEndpoint(bool wanted, params string[] environment)
    {
        var variables = environment.Select(variable => variable.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
        Assert.Equal(wanted, TraceExport.IsWanted(variables.GetValueOrDefault));
    }

    private static (object?, object?, object?, object?, ActivityStatusCode) Facts(Activity attempt) =>
        (attempt.GetTagItem("llmgateway.backend"), attempt.GetTagItem("llmgateway.attempt"), attempt.GetTagItem("http.response.status_code"), attempt.GetTagItem("llmgateway.attempt.end"), attempt.Status);

    private static async Task StreamAsync(StubExchange exchange)
    {
        await exchange.BeginEventsAsync();
        await exchange.WriteChunkAsync("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
        await exchange.WriteChunkAsync("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n");
        await exchange.WriteChunkAsync("data: [DONE]\n\n");
        await exchange.WriteAsync("0\r\n\r\n");
        exchange.Close();
    }
}
