using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>What a client hears that asked not to be left in silence, in the three phases: queued, loading, in prefill.</summary>
public sealed class KeepAliveTests
{
    private const string Wish = "x-llmgateway-keepalive: 1\r\n";
    private const string Stream = """{"model":"m","stream":true}""";
    private const string Comment = ": waiting\n\n";

    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Queued_ClientHearsCommentsAndThenTheAnswerWithItsRoute()
    {
        var go = new TaskCompletionSource();
        await using var stub = Answering(go.Task);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var first = await gateway.SendAsync(Stream);
        await stub.Seen.ReadAsync(Ct);
        using var second = await gateway.SendAsync(Stream, headers: Wish + "Connection: close\r\nx-request-id: my-id\r\n");

        var head = await second.ReadUntilAsync(Comment);
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", head, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/event-stream\r\n", head, StringComparison.Ordinal);
        Assert.Contains("x-request-id: my-id\r\n", head, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("x-llmgateway-model: m\r\n", head, StringComparison.Ordinal);
        Assert.DoesNotContain("x-llmgateway-backend", head, StringComparison.Ordinal);
        for (var comments = 2; comments <= 4; comments++)
        {
            await UntilAsync(second, text => text.Split(Comment).Length > comments);
        }

        go.SetResult();
        var (text, inGoodOrder) = await ReadToEndAsync(second);
        Assert.True(inGoodOrder);
        Assert.Contains(": x-llmgateway-backend: m/0\n: x-llmgateway-queue-ms: ", text, StringComparison.Ordinal);
        Assert.Contains(": x-llmgateway-attempts: 1\n\n", text, StringComparison.Ordinal);
        Assert.EndsWith("data: {\"a\":1}\n\ndata: [DONE]\n\n", Body(text), StringComparison.Ordinal);
        Assert.DoesNotContain(Comment, text[text.IndexOf("data:", StringComparison.Ordinal)..], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Loading_ClientHearsCommentsUntilABackendIsThere()
    {
        await using var stub = Answering(Task.CompletedTask);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        var coming = new Backend("m/0", "m", 0, stub.Address, null, hasSlotsEndpoint: true);
        gateway.Registry.Report("m", Servers.Entry(coming, 1, BackendCondition.Coming));
        using var client = await gateway.SendAsync(Stream, headers: Wish + "Connection: close\r\n");
        await client.ReadUntilAsync(Comment);
        gateway.Registry.Report("m", Servers.Entry(coming, 1));
        Assert.EndsWith("data: [DONE]\n\n", Body((await ReadToEndAsync(client)).Text), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")]
    public async Task Prefill_ThatTakesLong_ClientHearsComments(string head)
    {
        var go = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync(head);
            await go.Task.WaitAsync(exchange.Stop);
            if (head.Length == 0)
            {
                await exchange.BeginEventsAsync();
            }

            await exchange.WriteChunkAsync("data: {\"a\":1}\n\ndata: [DONE]\n\n");
            await exchange.WriteAsync("0\r\n\r\n");
            exchange.Close();
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream, headers: Wish + "Connection: close\r\n");
        await UntilAsync(client, text => text.Split(Comment).Length > 2);
        go.SetResult();
        Assert.EndsWith("data: {\"a\":1}\n\ndata: [DONE]\n\n", Body((await ReadToEndAsync(client)).Text), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prefill_ThatIsShort_HasTheRouteInItsHeaders()
    {
        await using var stub = Answering(Task.CompletedTask);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream, headers: Wish);
        var text = await client.ReadUntilAsync("data: [DONE]\n\n");
        Assert.Contains("x-llmgateway-backend: m/0\r\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain(Comment, text, StringComparison.Ordinal);
        Assert.DoesNotContain(": x-llmgateway", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/chat/completions", "data: {\"error\":{\"message\":", "\"code\":\"queue_timeout\"")]
    [InlineData("/v1/completions", "data: {\"error\":{\"message\":", "\"code\":\"queue_timeout\"")]
    [InlineData("/completion", "data: {\"error\":{\"message\":", "\"code\":\"queue_timeout\"")]
    [InlineData("/v1/responses", "event: error\ndata: {\"type\":\"error\",", "\"code\":\"queue_timeout\"")]
    [InlineData("/v1/messages", "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"", "\"message\":")]
    public async Task Refused_AfterComments_IsAnErrorEventOfTheApiAndTheConnectionCloses(string path, string start, string part)
    {
        await using var stub = new StubBackend(exchange => exchange.ClosedByGatewayAsync());
        await using var gateway = await GatewayUnderTest.StartAsync(_time, model => model with { Queue = new QueueOptions { Timeout = TimeSpan.FromSeconds(20) } });
        gateway.Add(stub.Address);
        using var first = await gateway.SendAsync(Stream);
        await stub.Seen.ReadAsync(Ct);
        using var second = await gateway.SendAsync(Stream, path, Wish);
        await second.ReadUntilAsync(Comment);

        var (text, inGoodOrder) = await ReadToEndAsync(second);
        Assert.True(inGoodOrder);
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", text, StringComparison.Ordinal);
        Assert.Contains(start, text, StringComparison.Ordinal);
        Assert.Contains(part, text, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", text, StringComparison.Ordinal);
        Assert.EndsWith("\n\n\r\n0\r\n\r\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refused_OnArrival_HasItsOwnStatus()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = await gateway.SendAsync(Stream, headers: Wish);
        Assert.StartsWith("HTTP/1.1 503 ", await client.ReadUntilAsync("\"code\":\"no_backend\""), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/chat/completions", "data: {\"error\":{\"code\":400,\"message\":\"the request\",\"type\":\"exceed_context_size_error\"},\"created\":null}\n\n")]
    [InlineData("/v1/responses", "event: error\ndata: {\"type\":\"error\",\"code\":\"exceed_context_size_error\",\"message\":\"the request\",\"param\":null}\n\n")]
    public async Task BackendsOwnRefusal_AfterComments_IsAnEvent(string path, string expected)
    {
        const string Overflow = "{\"error\":{\"code\":400,\r\n\r\n\"message\":\"the request\",\"type\":\"exceed_context_size_error\"}}";
        var go = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await go.Task.WaitAsync(exchange.Stop);
            await exchange.WriteAsync($"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: {Overflow.Length}\r\n\r\n{Overflow}");
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream, path, Wish);
        await UntilAsync(client, text => text.Contains(Comment, StringComparison.Ordinal));
        go.SetResult();
        var (text, inGoodOrder) = await ReadToEndAsync(client);
        Assert.True(inGoodOrder);
        Assert.EndsWith(expected, Body(text), StringComparison.Ordinal);
    }

    [Fact]
    public async Task BackendThatFails_AfterComments_IsTriedElsewhereAndThenAnEvent()
    {
        var go = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await go.Task.WaitAsync(exchange.Stop);
            await exchange.WriteAsync("HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\nsecret");
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream, headers: Wish);
        await UntilAsync(client, soFar => soFar.Contains(Comment, StringComparison.Ordinal));
        go.SetResult();
        var (text, inGoodOrder) = await ReadToEndAsync(client);
        Assert.True(inGoodOrder);
        Assert.Contains(Comment, text, StringComparison.Ordinal);
        Assert.Contains("\"code\":\"backend_failed\"", text, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        Assert.Equal(2, stub.Seen.Count);
    }

    [Fact]
    public async Task AnswerThatIsNoStream_AfterComments_IsNoAnswer()
    {
        var go = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            await go.Task.WaitAsync(exchange.Stop);
            await exchange.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\nsecret");
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream, headers: Wish);
        await UntilAsync(client, soFar => soFar.Contains(Comment, StringComparison.Ordinal));
        go.SetResult();
        var (text, _) = await ReadToEndAsync(client);
        Assert.Contains("\"code\":\"backend_failed\"", text, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ClientThatLeaves_AfterComments_LosesItsPlace()
    {
        await using var stub = new StubBackend(exchange => exchange.ClosedByGatewayAsync());
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var first = await gateway.SendAsync(Stream);
        await stub.Seen.ReadAsync(Ct);
        var second = await gateway.SendAsync(Stream, headers: Wish);
        await second.ReadUntilAsync(Comment);
        second.Reset();
        await Eventually.TrueAsync(() => gateway.Scheduler.Status("m").Depth == 0, "an empty queue", Ct);
    }

    [Theory]
    [InlineData("""{"model":"m"}""", Wish)]
    [InlineData(Stream, "x-llmgateway-keepalive: 0\r\n")]
    public async Task Unwanted_NothingIsSentBeforeTheAnswer(string body, string headers)
    {
        await using var stub = new StubBackend(exchange => exchange.ClosedByGatewayAsync());
        await using var gateway = await GatewayUnderTest.StartAsync(_time, model => model with { Queue = new QueueOptions { Timeout = TimeSpan.FromSeconds(20) } });
        gateway.Add(stub.Address);
        using var first = await gateway.SendAsync(Stream);
        await stub.Seen.ReadAsync(Ct);
        using var second = await gateway.SendAsync(body, headers: headers);
        await Eventually.TrueAsync(() => gateway.Scheduler.Status("m").Depth == 1, "the second to wait", Ct);
        _time.Advance(TimeSpan.FromSeconds(20));
        Assert.StartsWith("HTTP/1.1 429 ", await second.ReadUntilAsync("\"code\":\"queue_timeout\""), StringComparison.Ordinal);
    }

    [Fact]
    public async Task UnknownWish_IsRefused()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        using var client = await gateway.SendAsync(Stream, headers: "x-llmgateway-keepalive: yes\r\n");
        Assert.StartsWith("HTTP/1.1 400 ", await client.ReadUntilAsync("\"param\":\"x-llmgateway-keepalive\""), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Loop_Stopped_WritesNothingMore()
    {
        var written = 0;
        await using var loop = new KeepAlive(_time, () =>
        {
            written++;
            return Task.CompletedTask;
        });
        loop.Start(TimeSpan.FromSeconds(1));
        loop.Start(TimeSpan.Zero);
        Assert.Equal(0, written);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, written);
        _time.Advance(KeepAlive.Interval);
        Assert.Equal(2, written);
        await loop.StopAsync();
        await loop.StopAsync();
        _time.Advance(KeepAlive.Interval * 10);
        Assert.Equal(2, written);
    }

    private static StubBackend Answering(Task go) => new(async exchange =>
    {
        await exchange.BeginEventsAsync();
        await exchange.WriteChunkAsync("data: {\"a\":1}\n\n");
        await go.WaitAsync(exchange.Stop);
        await exchange.WriteChunkAsync("data: [DONE]\n\n");
        await exchange.WriteAsync("0\r\n\r\n");
        exchange.Close();
    });

    /// <summary>The body of a chunked answer.</summary>
    private static string Body(string text)
    {
        var body = new System.Text.StringBuilder();
        var rest = text[(text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        while (rest.Length > 0)
        {
            var line = rest.IndexOf("\r\n", StringComparison.Ordinal);
            var length = Convert.ToInt32(rest[..line], 16);
            body.Append(rest.AsSpan(line + 2, length));
            rest = rest[(line + 2 + length + 2)..];
        }

        return body.ToString();
    }

    /// <summary>Reads until the text is as wanted, while the clock runs.</summary>
    private async Task UntilAsync(ClientConnection client, Func<string, bool> isThere)
    {
        while (!isThere(client.Text))
        {
            await WithClockAsync(client.ReadMoreAsync());
        }
    }

    private Task<(string Text, bool InGoodOrder)> ReadToEndAsync(ClientConnection client) => WithClockAsync(client.ReadToEndAsync());

    private async Task<T> WithClockAsync<T>(Task<T> task)
    {
        await Eventually.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(200));
                return task.IsCompleted;
            },
            "bytes for the client",
            Ct);
        return await task;
    }
}
