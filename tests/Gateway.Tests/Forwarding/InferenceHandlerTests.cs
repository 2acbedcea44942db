using System.Net;
using System.Net.Sockets;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.Probes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class InferenceHandlerTests
{
    private const string Stream = """{"model":"m","stream":true}""";
    private const string Whole = """{"model":"m"}""";
    private const string Answer = """{"choices":[]}""";

    // The gateway's own waits (for the news of a death) pass by themselves; timeouts do not come unasked.
    private readonly FakeTimeProvider _time = new();

    private static string Ok { get; } = Http(200, Answer);

    [Fact]
    public async Task Post_Answer_IsRelayedWithItsRoute()
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Whole, headers: "x-request-id: my-id\r\n");
        var text = await client.ReadUntilAsync(Answer);
        Assert.StartsWith("HTTP/1.1 200", text, StringComparison.Ordinal);
        Assert.Contains("x-request-id: my-id\r\n", text, StringComparison.Ordinal);
        Assert.Contains("x-llmgateway-backend: m/0\r\n", text, StringComparison.Ordinal);
        Assert.Contains("x-llmgateway-attempts: 1\r\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("X-Secret", text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("Set-Cookie", text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("Access-Control", text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Post_Headers_OnlyTheAllowListReachesTheBackend()
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Whole, headers:
            "x-request-id: my-id\r\nAuthorization: Bearer client-secret\r\nx-api-key: client-secret\r\nCookie: a=b\r\nProxy-Authorization: x\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"
            + "X-Conversation-Id: 7\r\nVia: 1.1 x\r\nTE: trailers\r\nConnection: x-hop\r\nx-hop: 1\r\nExpect: 100-continue\r\nAccept-Encoding: gzip\r\nUser-Agent: me\r\nReferer: http://x\r\n"
            + "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\nbaggage: a=b\r\n");
        await client.ReadUntilAsync(Answer);

        var seen = await stub.Seen.ReadAsync(TestContext.Current.CancellationToken);
        var lines = seen.Split("\r\n");
        Assert.Equal("POST /v1/chat/completions HTTP/1.1", lines[0]);
        Assert.Equal(Whole, lines[^1]);
        Assert.Equal(
            [
                "Accept: application/json, */*", "Authorization: Bearer backend-key", $"Content-Length: {Whole.Length}", "Content-Type: application/json", $"Host: {stub.Address.BaseUri.Authority}",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-ID: my-id",
            ],
            lines[1..^2].Order(StringComparer.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task Post_ChunkedRequest_ReachesTheBackendWithItsLength()
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var socket = new TcpClient();
        await socket.ConnectAsync(gateway.Url.Host, gateway.Url.Port, TestContext.Current.CancellationToken);
        using var client = new ClientConnection(socket);
        await client.WriteAsync($"POST /V1/Chat/Completions/?beta=true HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{Whole.Length:x}\r\n{Whole}\r\n0\r\n\r\n");
        await client.ReadUntilAsync(Answer);
        var seen = await stub.Seen.ReadAsync(TestContext.Current.CancellationToken);
        Assert.StartsWith("POST /v1/chat/completions HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n" + Whole, seen, StringComparison.Ordinal);
        Assert.DoesNotContain("Transfer-Encoding", seen, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Post_StreamThatEndsProperly_IsUnchanged()
    {
        const string Events = ": ping\n\ndata: {\"a\":1}\n\ndata: [DONE]\n\n";
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync(Events);
            await exchange.WriteAsync("0\r\n\r\n");
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream);
        var text = await client.ReadUntilAsync("0\r\n\r\n");
        Assert.Contains($"{Events.Length:x}\r\n{Events}\r\n", text, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/event-stream\r\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("error", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Post_StreamThatBreaks_EndsWithAnErrorEventAndTheConnectionCloses(bool isReset)
    {
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync("data: {\"a\":1}\n\ndata: {\"half");
            if (!isReset)
            {
                await exchange.WriteAsync("0\r\n\r\n");
                exchange.Close();
                return;
            }

            // What a reset overtakes is lost: it comes when the first event has arrived.
            await _go.Task.WaitAsync(exchange.Stop);
            exchange.Reset();
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream);
        await client.ReadUntilAsync("data: {\"a\":1}\n\n");
        _go.TrySetResult();
        var (text, inGoodOrder) = await client.ReadToEndAsync();
        Assert.True(inGoodOrder);
        Assert.Contains("data: {\"error\":{\"message\":", text, StringComparison.Ordinal);
        Assert.DoesNotContain("half", text, StringComparison.Ordinal);
        Assert.EndsWith("\r\n0\r\n\r\n", text, StringComparison.Ordinal);
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Post_AnswerThatIsNoStreamAndBreaks_IsAborted()
    {
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
            await exchange.WriteChunkAsync("{\"a\":");
            await _go.Task.WaitAsync(exchange.Stop);
            exchange.Reset();
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Whole);
        await client.ReadUntilAsync("{\"a\":");
        _go.TrySetResult();
        var (text, _) = await client.ReadToEndAsync();
        Assert.DoesNotContain("\r\n0\r\n", text, StringComparison.Ordinal);
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Fault64And65_Post_BackendResetsBeforeTheFirstByte_AnotherOneAnswers()
    {
        await using var dying = new StubBackend(exchange =>
        {
            exchange.Reset();
            return Task.CompletedTask;
        });
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(dying.Address);
        using var client = await gateway.SendAsync(Whole);
        await dying.Seen.ReadAsync(TestContext.Current.CancellationToken);
        gateway.Add(stub.Address, generation: 1);
        Assert.Contains("x-llmgateway-attempts: 2\r\n", await client.ReadUntilAsync(Answer), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Post_ConnectionRefused_GoesElsewhere()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        await using var stub = StubBackend.Answers(Ok);
        var refusing = gateway.Add(Nobody());
        using var client = await gateway.SendAsync(Whole);
        gateway.Registry.Report("m", Servers.Entry(refusing, 1, BackendCondition.Coming));
        gateway.Add(stub.Address, index: 1);
        await AnsweredAsync(client, Answer);
    }

    [Fact]
    public async Task Fault47_BackendThatSwallowsConnections_IsGivenUpAfterTheConnectTimeout()
    {
        // Nobody accepts, and the line before it is full: what knocks now hears nothing.
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        var crowd = Enumerable.Range(0, 8).Select(_ => new TcpClient()).ToList();
        foreach (var one in crowd)
        {
            _ = one.ConnectAsync((IPEndPoint)listener.LocalEndPoint!, TestContext.Current.CancellationToken).AsTask().ContinueWith(static task => task.Exception, TaskScheduler.Default);
        }

        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time, model => model with { Timeouts = model.Timeouts with { Connect = TimeSpan.FromMilliseconds(200) } });
        gateway.Add(BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)listener.LocalEndPoint!).Port));
        using var client = await gateway.SendAsync(Whole);
        await TestKit.Eventually.TrueAsync(() => gateway.Scheduler.Status("m").Slots is [{ Busy: 1 }], "the request to be sent there", TestContext.Current.CancellationToken);
        gateway.Add(stub.Address, index: 1);
        Assert.Contains("x-llmgateway-attempts: 2\r\n", await AnsweredAsync(client, Answer), StringComparison.Ordinal);
        crowd.ForEach(one => one.Dispose());
    }

    [Fact]
    public async Task Post_LoadingThenReady_IsAnsweredAfterAnotherTry()
    {
        var tries = 0;
        await using var stub = new StubBackend(exchange => exchange.WriteAsync(++tries == 1 ? Http(503, """{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}""") : Ok));
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Whole);
        Assert.Contains("x-llmgateway-attempts: 2\r\n", await AnsweredAsync(client, Answer), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(500, """{"error":{"message":"at /secret/path"}}""", 502, "backend_failed")]
    [InlineData(401, """{"error":{"message":"secret"}}""", 502, "backend_failed")]
    [InlineData(302, "secret", 502, "backend_failed")]
    [InlineData(400, "secret", 502, "backend_failed")]
    [InlineData(501, """{"error":{"message":"secret"}}""", 404, "unknown_endpoint")]
    [InlineData(503, "secret", 502, "backend_failed")]
    public async Task Post_BackendThatSaysItWrongly_IsReshaped(int status, string body, int expected, string code)
    {
        await using var stub = StubBackend.Answers(Http(status, body));
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Whole);
        var text = await AnsweredAsync(client, $"\"code\":\"{code}\"");
        Assert.StartsWith($"HTTP/1.1 {expected} ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Post_BackendThatAnswersAFault_IsNotWaitedForAsIfItHadDied()
    {
        await using var failing = StubBackend.Answers(Http(500, "{}"));
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(failing.Address);
        using var client = await gateway.SendAsync(Whole);
        await failing.Seen.ReadAsync(TestContext.Current.CancellationToken);
        gateway.Add(stub.Address, index: 1);
        using var second = await gateway.SendAsync(Whole);

        // The clock stands still: a wait would never end.
        await second.ReadUntilAsync(Answer);
    }

    [Fact]
    public async Task Post_OnlyBackendAnswersAFault_IsTriedAgainAfterAMoment()
    {
        await using var stub = StubBackend.Answers(Http(500, "{}"));
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Whole);
        await stub.Seen.ReadAsync(TestContext.Current.CancellationToken);
        await TestKit.Eventually.TrueAsync(() => gateway.Scheduler.Status("m").Slots is [{ Busy: 0 }], "the slot to be free while the request waits", TestContext.Current.CancellationToken);
        Assert.Equal(0, stub.Seen.Count);
        await AnsweredAsync(client, "\"code\":\"backend_failed\"");
        Assert.Equal(1, stub.Seen.Count);
    }

    [Fact]
    public async Task Post_LastEventHasCome_SlotIsHandedOnBeforeTheConnectionEnds()
    {
        var next = new TaskCompletionSource();
        await using var stub = new StubBackend(async exchange =>
        {
            if (exchange.Body.Contains("second", StringComparison.Ordinal))
            {
                next.SetResult();
                await exchange.WriteAsync(Ok);
                return;
            }

            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync("data: {\"a\":1}\n\n");
            await exchange.WriteChunkAsync("data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n");

            // The message does not end before the next request is here.
            await next.Task.WaitAsync(exchange.Stop);
            await exchange.WriteAsync("0\r\n\r\n");
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var first = await gateway.SendAsync(Stream);
        await stub.Seen.ReadAsync(TestContext.Current.CancellationToken);
        using var second = await gateway.SendAsync("""{"model":"m","user":"second"}""");

        // The clock stands still: nothing that waits for a time helps.
        Assert.Contains("x-llmgateway-attempts: 1\r\n", await second.ReadUntilAsync(Answer), StringComparison.Ordinal);
        await first.ReadUntilAsync("data: [DONE]");
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Post_BackendsOwnRefusal_PassesThrough()
    {
        const string Overflow = """{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}""";
        await using var stub = StubBackend.Answers(Http(400, Overflow));
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream);
        var text = await client.ReadUntilAsync(Overflow);
        Assert.StartsWith("HTTP/1.1 400 ", text, StringComparison.Ordinal);
        Assert.Contains("x-llmgateway-backend: m/0\r\n", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("")]
    public async Task Post_NoFirstTokenInTime_Is504AndTheBackendsRequestEnds(string head)
    {
        var (answered, dropped) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.WriteAsync(head);
            answered.SetResult();
            await exchange.ClosedByGatewayAsync();
            dropped.SetResult();
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time, model => model with { Timeouts = model.Timeouts with { FirstToken = TimeSpan.FromSeconds(5) } });
        gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream);
        await answered.Task.WaitAsync(TestContext.Current.CancellationToken); // a stub that still writes when the gateway has gone sees a fault, and no end
        _time.Advance(TimeSpan.FromSeconds(5));
        var text = await client.ReadUntilAsync("\"code\":\"backend_timeout\"");
        Assert.StartsWith("HTTP/1.1 504 ", text, StringComparison.Ordinal);
        await dropped.Task.WaitAsync(TestContext.Current.CancellationToken);
        await FreeAsync(gateway);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Post_ClientLeaves_TheBackendsRequestIsDropped(bool afterFirstToken)
    {
        var (answered, dropped) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            if (afterFirstToken)
            {
                await exchange.WriteChunkAsync("data: {\"a\":1}\n\n");
            }

            answered.SetResult();
            await exchange.ClosedByGatewayAsync();
            dropped.SetResult();
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        var client = await gateway.SendAsync(Stream);
        await answered.Task.WaitAsync(TestContext.Current.CancellationToken);
        if (afterFirstToken)
        {
            await client.ReadUntilAsync("data: {\"a\":1}");
        }

        client.Reset();
        await dropped.Task.WaitAsync(TestContext.Current.CancellationToken);
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Post_ClientLeavesTheQueue_ItsPlaceIsFreeAndNothingIsSent()
    {
        await using var stub = new StubBackend(exchange => exchange.ClosedByGatewayAsync());
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var first = await gateway.SendAsync(Stream);
        await stub.Seen.ReadAsync(TestContext.Current.CancellationToken);
        var second = await gateway.SendAsync(Stream);
        await TestKit.Eventually.TrueAsync(() => gateway.Scheduler.Status("m").Depth == 1, "the second request to wait", TestContext.Current.CancellationToken);
        second.Reset();
        await TestKit.Eventually.TrueAsync(() => gateway.Scheduler.Status("m").Depth == 0, "an empty queue", TestContext.Current.CancellationToken);
        Assert.False(stub.Seen.TryRead(out _));
    }

    [Fact]
    public async Task Post_BackendGoneUnderAStream_EndsWithAnErrorEvent()
    {
        await using var stub = new StubBackend(async exchange =>
        {
            await exchange.BeginEventsAsync();
            await exchange.WriteChunkAsync("data: {\"a\":1}\n\n");
            await exchange.ClosedByGatewayAsync();
        });
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        var backend = gateway.Add(stub.Address);
        using var client = await gateway.SendAsync(Stream);
        await client.ReadUntilAsync("data: {\"a\":1}");
        backend.MarkGone();
        var (text, _) = await client.ReadToEndAsync();
        Assert.Contains("data: {\"error\":", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1", 404, "unknown_endpoint")]
    [InlineData("GET /v1/chat/completions HTTP/1.1", 405, "method_not_allowed")]
    [InlineData("POST /props HTTP/1.1", 404, "unknown_endpoint")]
    [InlineData("POST /v1/../props HTTP/1.1", 404, "unknown_endpoint")]
    public async Task Send_AnythingElse_ReachesNoBackend(string line, int status, string code)
    {
        await using var stub = StubBackend.Answers(Ok);
        await using var gateway = await GatewayUnderTest.StartAsync(_time);
        gateway.Add(stub.Address);
        using var socket = new TcpClient();
        await socket.ConnectAsync(gateway.Url.Host, gateway.Url.Port, TestContext.Current.CancellationToken);
        using var client = new ClientConnection(socket);
        await client.WriteAsync($"{line}\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        Assert.StartsWith($"HTTP/1.1 {status} ", await client.ReadUntilAsync(code), StringComparison.Ordinal);
        Assert.False(stub.Seen.TryRead(out _));
    }

    private readonly TaskCompletionSource _go = new();

    private static string Http(int status, string body) =>
        $"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nX-Secret: 1\r\nSet-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\nLocation: /secret\r\nContent-Length: {body.Length}\r\n\r\n{body}";

    /// <summary>An address where nobody listens: the port was free a moment ago.</summary>
    private static BackendAddress Nobody()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
    }

    /// <summary>The answer, while the clock runs: between two tries the gateway waits for the news of a death.</summary>
    private async Task<string> AnsweredAsync(ClientConnection client, string text)
    {
        var answer = client.ReadUntilAsync(text);
        await TestKit.Eventually.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return answer.IsCompleted;
            },
            "an answer",
            TestContext.Current.CancellationToken);
        return await answer;
    }

    private static Task FreeAsync(GatewayUnderTest gateway) => TestKit.Eventually.TrueAsync(
        () => gateway.Scheduler.Status("m") is { Depth: 0, Slots: [{ Busy: 0, Quarantined: 0 }, ..] } && gateway.Budget.Held == 0,
        "slot and body to be free again",
        TestContext.Current.CancellationToken);
}
