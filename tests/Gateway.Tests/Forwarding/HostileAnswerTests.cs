using System.Text;
using System.Text.Json;
using LlmGateway.Gateway.Models;
using LlmGateway.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>The response corpus: every hostile answer, and what its client sees of it, byte for byte.</summary>
public sealed class HostileAnswerTests() : HostileAnswerCorpus("lean")
{
    public static TheoryData<string> Names => [.. HostileAnswers.All.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public Task Answer_ThatIsHostile_ReachesTheClientAsItShould(string name) => ReachesTheClientAsItShouldAsync(name);

    [Fact]
    public Task Answer_BeforeTheBodyIsRead_IsAnAnswerOrAFailureAndNoHang() => IsAnAnswerOrAFailureAndNoHangAsync();
}

/// <summary>The same corpus with YARP's forwarder; of what differs only by API or by whether a stream was asked for, which is the same code, one of each.</summary>
public sealed class YarpHostileAnswerTests() : HostileAnswerCorpus("yarp")
{
    public static TheoryData<string> Names => [.. HostileAnswers.All.Where(static pair => pair.Value is { Path: "/v1/chat/completions" } and not { Stream: true, Seen: Seen.Refused }).Select(static pair => pair.Key)];

    [Theory]
    [MemberData(nameof(Names))]
    public Task Answer_ThatIsHostile_ReachesTheClientAsItShould(string name) => ReachesTheClientAsItShouldAsync(name);

    [Fact]
    public Task Answer_BeforeTheBodyIsRead_IsAnAnswerOrAFailureAndNoHang() => IsAnAnswerOrAFailureAndNoHangAsync();
}

/// <summary>How one of the corpus is tried.</summary>
/// <param name="relay">Who carries the request.</param>
public abstract class HostileAnswerCorpus(string relay)
{
    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    protected async Task ReachesTheClientAsItShouldAsync(string name)
    {
        var hostile = HostileAnswers.All[name];
        var seen = new TaskCompletionSource();
        await using var stub = new StubBackend(exchange => hostile.Answer(exchange, seen.Task.WaitAsync(exchange.Stop)));
        await using var gateway = await GatewayUnderTest.StartAsync(_time, model => model with
        {
            Timeouts = new TimeoutOptions { FirstToken = TimeSpan.FromHours(24), BetweenTokens = TimeSpan.FromHours(24), Total = TimeSpan.FromHours(168) },
        }, root: WithRelay);
        gateway.Add(stub.Address);
        var body = hostile.Stream ? """{"model":"m","stream":true,"prompt":"x"}""" : """{"model":"m"}""";
        using var answer = await RawAnswer.AskAsync(
            gateway.Url, $"POST {hostile.Path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}", Ct);

        await WithClockAsync(answer.ReadAsync(got => got.Status == 200 && got.Body.Length >= hostile.Bytes.Length && hostile.Seen is Seen.Aborted or Seen.Broken, Ct));
        seen.SetResult();
        await WithClockAsync(answer.ReadAsync(_ => false, Ct));

        Assert.DoesNotContain("backend-secret", answer.Head + answer.Text, StringComparison.Ordinal);
        Assert.Equal(hostile.Status, answer.Status);
        Assert.Equal(hostile.Seen != Seen.Aborted, answer.IsComplete);
        switch (hostile.Seen)
        {
            case Seen.Refused:
                Assert.Equal(hostile.Code, Refused(hostile.Path, answer.Text));
                break;
            case Seen.Broken:
                AssertSame(hostile.Bytes, answer.Body.AsSpan(0, Math.Min(hostile.Bytes.Length, answer.Body.Length)));
                AssertIsErrorEvent(hostile.Path, answer.Text[Encoding.UTF8.GetCharCount(hostile.Bytes)..]);
                Assert.True(await answer.ClosesAsync(Ct));
                break;
            default:
                AssertSame(hostile.Bytes, answer.Body);
                Assert.True(hostile.Seen == Seen.Relayed || await answer.ClosesAsync(Ct));
                break;
        }

        await Eventually.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return gateway.Scheduler.Status("m") is { Depth: 0, Slots: [{ Busy: 0, Quarantined: 0 }, ..] } && gateway.Budget.Held == 0;
            },
            "slot and body to be free again",
            Ct);
    }

    protected async Task IsAnAnswerOrAFailureAndNoHangAsync()
    {
        // A server that looks at the head only, answers, and closes with the body unread: the reset may overtake the answer.
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        await using var gateway = await GatewayUnderTest.StartAsync(_time, root: WithRelay);
        gateway.Add(Probes.BackendAddress.Tcp("127.0.0.1", ((System.Net.IPEndPoint)listener.LocalEndpoint).Port));
        using var stop = new CancellationTokenSource();
        var serving = ServeAsync();
        var body = $$"""{"model":"m","prompt":"{{new string('x', 900_000)}}"}""";
        using var answer = await RawAnswer.AskAsync(gateway.Url, $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body.Length}\r\n\r\n{body}", Ct);
        await WithClockAsync(answer.ReadAsync(_ => false, Ct));
        await stop.CancelAsync();
        await serving;
        Assert.True(answer.IsComplete);
        Assert.True((answer.Status, answer.Text.Contains("\"message\":\"too long\"", StringComparison.Ordinal)) is (400, true) or (502, false), answer.Head + answer.Text);

        async Task ServeAsync()
        {
            try
            {
                while (true)
                {
                    using var socket = await listener.AcceptSocketAsync(stop.Token);
                    await socket.ReceiveAsync(new byte[100], stop.Token);
                    await socket.SendAsync("HTTP/1.1 400 X\r\nContent-Length: 33\r\nConnection: close\r\n\r\n{\"error\":{\"message\":\"too long\"}}  "u8.ToArray(), stop.Token);
                }
            }
            catch (OperationCanceledException)
            {
            }
        }
    }

    private GatewayOptions WithRelay(GatewayOptions options) => options with { Gateway = options.Gateway with { Relay = Enum.Parse<RelayKind>(relay, ignoreCase: true) } };

    private static void AssertSame(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        // The texts may be long: where they part is what matters.
        var same = expected.CommonPrefixLength(actual);
        Assert.True(
            same == expected.Length && same == actual.Length,
            $"{expected.Length} bytes expected, {actual.Length} came, and they part at {same}: {Encoding.Latin1.GetString(actual[same..Math.Min(actual.Length, same + 60)])}");
    }

    private static void AssertIsErrorEvent(string path, string text)
    {
        var isNamed = path is "/v1/responses" or "/v1/messages";
        Assert.StartsWith(isNamed ? "event: error\ndata: {" : "data: {\"error\":{", text, StringComparison.Ordinal);
        Assert.EndsWith("}\n\n", text, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(text[(text.IndexOf("data: ", StringComparison.Ordinal) + 6)..]);
        Assert.Equal(1, text.Split("data: ").Length - 1);
    }

    private static string? Refused(string path, string text)
    {
        using var json = JsonDocument.Parse(text);
        var error = json.RootElement.GetProperty("error");
        Assert.False(string.IsNullOrEmpty(error.GetProperty("message").GetString()));
        if (path != "/v1/messages")
        {
            return error.GetProperty("code").GetString();
        }

        // Anthropic's shape has a type where others have a code.
        return error.GetProperty("type").GetString() == "api_error" ? "backend_failed" : "";
    }

    private async Task WithClockAsync(Task task)
    {
        await Eventually.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return task.IsCompleted;
            },
            "the client to be answered",
            Ct);
        await task;
    }
}
