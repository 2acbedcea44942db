using System.Text;
using LlmGateway.Gateway.Backends;
using LlmGateway.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>A backend dies in the middle of a stream, and another one says the rest: what each of them was asked, and what the client has seen.</summary>
public sealed class RecoveryTests
{
    private const string Body = """{"model":"m","stream":true,"max_tokens":20,"messages":[{"role":"user","content":"hi"}]}""";

    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Stream_BackendDies_AnotherOneSaysTheRestUnderTheFirstOnesName()
    {
        var seen = new TaskCompletionSource();
        await using var dying = Dying(seen.Task, Event("first", Role) + Event("first", Text("Hello")) + Event("first", Text(", ")) + "data: {\"half");
        await using var other = Other(Event("second", Role) + Event("second", Text("world")) + Usage + "data: [DONE]\n\n");
        await using var gateway = await StartAsync();
        var first = gateway.Add(dying.Address);
        using var answer = await AskAsync(gateway);
        await ReadAsync(answer, got => got.Text.Contains("\", \"", StringComparison.Ordinal));
        gateway.Add(other.Address, index: 1);
        seen.SetResult();
        first.MarkGone();
        await ReadAsync(answer, _ => false);

        Assert.True(answer.IsComplete);
        Assert.Equal(Event("first", Role) + Event("first", Text("Hello")) + Event("first", Text(", ")) + Event("first", Text("world")), answer.Text[..answer.Text.IndexOf("data: {\"choices\":[],", StringComparison.Ordinal)]);
        Assert.EndsWith("\"usage\":{\"completion_tokens\":5,\"prompt_tokens\":7,\"total_tokens\":12}}\n\ndata: [DONE]\n\n", answer.Text, StringComparison.Ordinal);

        Assert.EndsWith("""{"content":"\n","add_special":false}""", await other.Seen.ReadAsync(Ct), StringComparison.Ordinal);
        Assert.EndsWith("""{"content":"\nHello, ","add_special":false}""", await other.Seen.ReadAsync(Ct), StringComparison.Ordinal);
        var asked = await other.Seen.ReadAsync(Ct);
        Assert.StartsWith("POST /v1/chat/completions HTTP/1.1\r\n", asked, StringComparison.Ordinal);
        Assert.Contains("Authorization: Bearer backend-key\r\n", asked, StringComparison.Ordinal);
        Assert.EndsWith("""{"model":"m","stream":true,"max_tokens":18,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello, "}]}""", asked, StringComparison.Ordinal);
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Stream_SecondBackendDiesToo_AThirdSaysTheRest()
    {
        var seen = new TaskCompletionSource();
        var again = new TaskCompletionSource();
        await using var dying = Dying(seen.Task, Event("first", Role) + Event("first", Text("a")));
        await using var second = Other(Event("second", Role) + Event("second", Text("b")), again.Task);
        await using var third = Other(Event("third", Role) + Event("third", Text("c")) + "data: [DONE]\n\n");
        await using var gateway = await StartAsync();
        var one = gateway.Add(dying.Address);
        using var answer = await AskAsync(gateway);
        await ReadAsync(answer, got => got.Text.Contains("\"a\"", StringComparison.Ordinal));
        var two = gateway.Add(second.Address, index: 1);
        seen.SetResult();
        one.MarkGone();
        await ReadAsync(answer, got => got.Text.Contains("\"b\"", StringComparison.Ordinal));
        gateway.Add(third.Address, index: 2);
        again.SetResult();
        two.MarkGone();
        await ReadAsync(answer, _ => false);
        Assert.Equal(Event("first", Role) + Event("first", Text("a")) + Event("first", Text("b")) + Event("first", Text("c")) + "data: [DONE]\n\n", answer.Text);
        await FreeAsync(gateway);
    }

    [Theory]
    [InlineData(Body, "x-llmgateway-recover: 0\r\n", true, "the client does not want it")]
    [InlineData(Body, "", false, "the model's options do not")]
    [InlineData("""{"model":"m","stream":true,"tools":[{}],"messages":[{"role":"user","content":"hi"}]}""", "", true, "tools")]
    [InlineData("""{"model":"m","stream":true,"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}""", "", true, "all tokens are said")]
    public async Task Stream_WhereItMustNot_EndsWithTheErrorEvent(string body, string headers, bool isOn, string why)
    {
        var seen = new TaskCompletionSource();
        await using var dying = Dying(seen.Task, Event("first", Role) + Event("first", Text("a")));
        await using var other = Other("data: [DONE]\n\n");
        await using var gateway = await StartAsync(isOn);
        var first = gateway.Add(dying.Address);
        using var answer = await AskAsync(gateway, body, headers);
        await ReadAsync(answer, got => got.Text.Contains("\"a\"", StringComparison.Ordinal));
        gateway.Add(other.Address, index: 1);
        seen.SetResult();
        first.MarkGone();
        await ReadAsync(answer, _ => false);
        Assert.True(answer.IsComplete, why);
        Assert.Contains("data: {\"error\":", answer.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", answer.Text, StringComparison.Ordinal);
        Assert.Equal(0, other.Seen.Count);
        await FreeAsync(gateway);
    }

    [Theory]
    [InlineData("HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")]
    [InlineData("HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\nsecret")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")]
    [InlineData("nonsense\r\n\r\n")]
    public async Task Stream_NobodyCanSayTheRest_EndsWithTheErrorEvent(string answers)
    {
        var seen = new TaskCompletionSource();
        await using var dying = Dying(seen.Task, Event("first", Role) + Event("first", Text("a")));
        await using var other = StubBackend.Answers(answers);
        await using var gateway = await StartAsync();
        var first = gateway.Add(dying.Address);
        using var answer = await AskAsync(gateway);
        await ReadAsync(answer, got => got.Text.Contains("\"a\"", StringComparison.Ordinal));
        gateway.Add(other.Address, index: 1);
        seen.SetResult();
        first.MarkGone();
        await ReadAsync(answer, _ => false);
        Assert.True(answer.IsComplete);
        Assert.StartsWith(Event("first", Role) + Event("first", Text("a")) + "data: {\"error\":", answer.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", answer.Text, StringComparison.Ordinal);
        Assert.True(await answer.ClosesAsync(Ct));
        await FreeAsync(gateway);
    }

    [Fact]
    public async Task Stream_ClientLeavesWhileItWaitsForTheRest_LosesItsPlace()
    {
        var seen = new TaskCompletionSource();
        await using var dying = Dying(seen.Task, Event("first", Role) + Event("first", Text("a")));
        await using var gateway = await StartAsync();
        var first = gateway.Add(dying.Address);
        gateway.Registry.Report("m", Fakes.Servers.Entry(new Backend("m/1", "m", 0, dying.Address, null, true), 1, BackendCondition.Coming));
        using (var answer = await AskAsync(gateway))
        {
            await ReadAsync(answer, got => got.Text.Contains("\"a\"", StringComparison.Ordinal));
            gateway.Registry.Report("m", Fakes.Servers.Entry(first, 1, BackendCondition.Coming));
            seen.SetResult();
            first.MarkGone();
            await Eventually.TrueAsync(
                () =>
                {
                    _time.Advance(TimeSpan.FromMilliseconds(100));
                    return gateway.Scheduler.Status("m").Depth == 1;
                },
                "the stream to wait for somebody",
                Ct);
        }

        await FreeAsync(gateway);
    }

    private static string Role => """{"role":"assistant","content":null}""";

    private static string Usage => """data: {"choices":[],"created":5,"id":"second","usage":{"completion_tokens":3,"prompt_tokens":9,"total_tokens":12}}""" + "\n\n";

    private static string Text(string text) => $$"""{"content":"{{text}}"}""";

    private static string Event(string id, string delta) => $"data: {{\"choices\":[{{\"finish_reason\":null,\"index\":0,\"delta\":{delta}}}],\"created\":5,\"id\":\"{id}\"}}\n\n";

    private static StubBackend Dying(Task seen, string events) => new(async exchange =>
    {
        await exchange.BeginEventsAsync();
        await exchange.WriteChunkAsync(events);
        await seen.WaitAsync(exchange.Stop);
        exchange.Reset();
    });

    /// <summary>Counts a token in a line end and two more in any text behind it, and goes on with these events.</summary>
    private static StubBackend Other(string events, Task? dies = null) => new(async exchange =>
    {
        if (exchange.Path == "/tokenize")
        {
            var tokens = exchange.Body.Contains("\"\\n\"", StringComparison.Ordinal) ? "[1]    " : "[1,2,3]";
            await exchange.WriteAsync($"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{{\"tokens\":{tokens}}}");
            return;
        }

        await exchange.BeginEventsAsync();
        await exchange.WriteChunkAsync(events);
        if (dies is not null)
        {
            await dies.WaitAsync(exchange.Stop);
            exchange.Reset();
            return;
        }

        await exchange.WriteAsync("0\r\n\r\n");
        exchange.Close();
    });

    private Task<GatewayUnderTest> StartAsync(bool isOn = true) =>
        GatewayUnderTest.StartAsync(_time, model => model with { Retry = model.Retry with { RecoverStreams = isOn } });

    private static Task<RawAnswer> AskAsync(GatewayUnderTest gateway, string body = Body, string headers = "") => RawAnswer.AskAsync(
        gateway.Url,
        $"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}",
        Ct);

    private async Task ReadAsync(RawAnswer answer, Func<RawAnswer, bool> isEnough)
    {
        var reading = answer.ReadAsync(isEnough, Ct);
        await Eventually.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return reading.IsCompleted;
            },
            "bytes for the client",
            Ct);
        await reading;
    }

    private Task FreeAsync(GatewayUnderTest gateway) => Eventually.TrueAsync(
        () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return gateway.Scheduler.Status("m") is { Depth: 0 } status && status.Slots.All(slots => slots is { Busy: 0, Quarantined: 0 }) && gateway.Budget.Held == 0;
        },
        "slots and body to be free again",
        Ct);
}
