using System.Text;
using CsCheck;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class RelayStreamTests : IDisposable
{
    private static readonly ApiDialect[] Dialects = Enum.GetValues<ApiDialect>();

    private readonly FakeTimeProvider _time = new();
    private readonly CancellationTokenSource _gone = new();
    private readonly CancellationTokenSource _aborted = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static readonly Gen<string> LineEnd = Gen.OneOf("\n", "\r", "\r\n");

    // The last line of an event that ends in a lone CR must not be followed by a lone LF: together they would be one line end.
    private static readonly Gen<string> BlankLine = Gen.Select(LineEnd, LineEnd).Where((first, second) => !(first == "\r" && second == "\n")).Select((first, second) => first + second);

    private static readonly Gen<string> Comment = Gen.Select(Gen.OneOf(": ping", ":", ":a:b"), BlankLine, (text, end) => text + end);

    private static readonly Gen<string> Token =
        from name in Gen.OneOf("", "event: delta", "id: 5")
        from line in LineEnd
        from text in Gen.Char['a', 'z'].Array[0, 300]
        from end in BlankLine
        select (name.Length > 0 ? name + line : "") + "data: {\"t\":\"" + new string(text) + "\"}" + end;

    private static readonly Gen<(ApiDialect Dialect, string[] Events)> Streams =
        from dialect in Gen.OneOf(Dialects)
        from before in Gen.Frequency((4, Token), (1, Comment)).Array[0, 12]
        from first in Token
        from line in LineEnd
        from end in BlankLine
        select (dialect, (string[])[.. before, first, Last(dialect, line) + end]);

    public void Dispose()
    {
        _gone.Dispose();
        _aborted.Dispose();
    }

    [Fact]
    public async Task Read_StreamThatEndsProperly_IsUnchangedHoweverItIsCut() =>
        await Gen.Select(Streams, Gen.Int[1, 400].Array[1, 20], Gen.Bool, Gen.OneOf("", "\n", "data: more\n\n", "rest")).SampleAsync(
            async (stream, cuts, isReset, after) =>
            {
                var bytes = Encoding.UTF8.GetBytes(string.Concat(stream.Events) + after);
                var (output, relay) = await RelayAsync(ScriptStream.Of(Cut(bytes, cuts), isReset ? new IOException("reset") : null), stream.Dialect);
                Assert.Equal(RelayEnd.Complete, relay.Ended);
                Assert.Equal(Encoding.UTF8.GetString(bytes), output);
            },
            iter: 400);

    [Fact]
    public async Task Read_StreamThatBreaksAtAnyByte_GivesTheWholeEventsAndOneErrorEvent() =>
        await Gen.Select(Streams, Gen.Int[1, 400].Array[1, 20], Gen.Double[0, 1], Gen.Bool).SampleAsync(
            async (stream, cuts, where, isReset) =>
            {
                var before = string.Concat(stream.Events[..^1]);
                var bytes = Encoding.UTF8.GetBytes(before);
                var first = Encoding.UTF8.GetByteCount(string.Concat(stream.Events.TakeWhile(text => text[0] == ':')));
                var at = first + (int)((bytes.Length - first) * where);
                var whole = WholeEvents.In(bytes.AsSpan(0, at));
                if (EventFraming.IsComment(bytes.AsSpan(0, whole)))
                {
                    await Assert.ThrowsAsync<IOException>(() => RelayAsync(ScriptStream.Of(Cut(bytes[..at], cuts), isReset ? new IOException("reset") : null), stream.Dialect));
                    return;
                }

                var (output, relay) = await RelayAsync(ScriptStream.Of(Cut(bytes[..at], cuts), isReset ? new IOException("reset") : null), stream.Dialect);
                Assert.Equal(RelayEnd.Broken, relay.Ended);

                // The LF of a CRLF that ends an event may come in the next piece, and then it is not waited for.
                var error = Encoding.UTF8.GetString(StreamEnd.ErrorEvent(stream.Dialect, ApiErrors.StreamBroken, "req-1"));
                Assert.Contains(output, before[..whole].EndsWith("\r\n", StringComparison.Ordinal) ? [before[..whole] + error, before[..(whole - 1)] + error] : new[] { before[..whole] + error });
                Assert.DoesNotContain("[DONE]", output, StringComparison.Ordinal);
            },
            iter: 400);

    [Theory]
    [InlineData("\r\n\r", "\n")]
    [InlineData("\n\r", "\n")]
    [InlineData("\r\r", "\n")]
    public async Task Read_LineFeedThatComesAfterTheLastEvent_IsHandedOn(string end, string late)
    {
        var (output, relay) = await RelayAsync(ScriptStream.Of(["data: x\n\ndata: [DONE]"u8.ToArray(), Encoding.UTF8.GetBytes(end), Encoding.UTF8.GetBytes(late)]), ApiDialect.OpenAi);
        Assert.Equal((RelayEnd.Complete, "data: x\n\ndata: [DONE]" + end + late), (relay.Ended, output));
    }

    public static TheoryData<int> LongLengths => [.. Enumerable.Range(-24, 30).Select(offset => RelayStream.LongestHeld + offset)];

    [Theory]
    [MemberData(nameof(LongLengths))]
    public async Task Read_LastEventTooLongToHold_EndsTheStreamProperly(int length)
    {
        foreach (var dialect in new[] { ApiDialect.Responses, ApiDialect.Messages, ApiDialect.Native })
        {
            var last = Last(dialect, "\n")[..^1] + ",\"prompt\":\"" + new string('x', length) + "\",\"usage\":{\"input_tokens\":7,\"output_tokens\":3}}\n\n";
            var bytes = Encoding.UTF8.GetBytes("data: x\n\n" + last);
            foreach (var piece in new[] { 4096, 1 << 20, 1021 })
            {
                var (output, relay) = await RelayAsync(ScriptStream.Of(Cut(bytes, [piece])), dialect);
                Assert.Equal(RelayEnd.Complete, relay.Ended);
                Assert.Equal(bytes.Length, output.Length);
                Assert.Equal(new TokenUsage(7, 0, 3), relay.Usage);
            }
        }
    }

    [Theory]
    [MemberData(nameof(LongLengths))]
    public async Task Read_LongEventBeforeTheLastOne_DoesNotHideIt(int length)
    {
        foreach (var end in new[] { "\n\n", "\r\n\r\n", "\r\r", "\r\n\n" })
        {
            var bytes = Encoding.UTF8.GetBytes("data: " + new string('x', length) + end + "data: [DONE]" + end);
            foreach (var piece in new[] { 4096, 1 << 20, 61 })
            {
                var (output, relay) = await RelayAsync(ScriptStream.Of(Cut(bytes, [piece])), ApiDialect.OpenAi);
                Assert.Equal((RelayEnd.Complete, bytes.Length), (relay.Ended, output.Length));
            }
        }
    }

    [Fact]
    public async Task Read_LongEventThatBreaks_IsClosedBeforeTheErrorEvent()
    {
        var (output, relay) = await RelayAsync(ScriptStream.Of(Cut(Encoding.UTF8.GetBytes("data: " + new string('x', 200_000)), [5000]), new IOException()), ApiDialect.OpenAi);
        Assert.Equal(RelayEnd.Broken, relay.Ended);
        var events = output.Split("\n\n");
        Assert.Equal(3, events.Length);
        Assert.StartsWith("data: {\"error\":", events[1], StringComparison.Ordinal);
        Assert.InRange(events[0].Length, RelayStream.LongestHeld / 2, 200_006);
    }

    [Fact]
    public async Task Read_EventLongerThanIsHeld_FlowsOnBeforeItsEnd()
    {
        var source = new ScriptStream();
        await using var relay = Relay(source, ApiDialect.OpenAi);
        source.Send([.. "data: "u8, .. new byte[RelayStream.LongestHeld]]);
        await relay.PrimeAsync();
        Assert.True(await relay.ReadAsync(new byte[100], Ct) > 0);
    }

    [Theory]
    [InlineData("")]
    [InlineData(": ping\n\n")]
    [InlineData(": ping\n\n: ping\n\ndata: half")]
    [InlineData("data: half")]
    public async Task Prime_SourceEndsBeforeTheFirstEvent_Throws(string text)
    {
        await using var relay = Relay(ScriptStream.Of([Encoding.UTF8.GetBytes(text)]), ApiDialect.OpenAi);
        await Assert.ThrowsAsync<IOException>(relay.PrimeAsync);
    }

    [Fact]
    public async Task Prime_NothingButComments_IsBounded()
    {
        await using var relay = Relay(ScriptStream.Of(Enumerable.Repeat(": nothing\n\n"u8.ToArray(), 100_000)), ApiDialect.OpenAi);
        await Assert.ThrowsAsync<IOException>(relay.PrimeAsync);
    }

    [Fact]
    public async Task Prime_CommentsBeforeTheFirstEvent_AreKept()
    {
        var source = new ScriptStream();
        var tokens = 0;
        await using var relay = Relay(source, ApiDialect.OpenAi, onFirstToken: () => tokens++);
        var primed = relay.PrimeAsync();
        source.Send(": ping\n\n"u8);
        source.Send(": ping\n\n"u8);
        Assert.False(primed.IsCompleted);
        Assert.Equal(0, tokens);
        source.Send("data: x\n\ndata: [DONE]\n\n"u8);
        await primed.WaitAsync(Ct);
        source.End();
        Assert.Equal((1, ": ping\n\n: ping\n\ndata: x\n\ndata: [DONE]\n\n"), (tokens, await ReadAllAsync(relay)));
    }

    [Fact]
    public async Task Read_ErrorEventOfTheBackend_EndsBrokenWithoutASecondError()
    {
        const string Text = "data: x\n\ndata: {\"error\":{\"message\":\"boom\"}}\n\n";
        var (output, relay) = await RelayAsync(ScriptStream.Of([Encoding.UTF8.GetBytes(Text)]), ApiDialect.OpenAi);
        Assert.Equal((Text, RelayEnd.Broken), (output, relay.Ended));
    }

    [Fact]
    public async Task Whole_LastEventIsInHand_IsToldOnceThoughTheConnectionGoesOn()
    {
        var source = new ScriptStream();
        var told = 0;
        await using var relay = Relay(source, ApiDialect.OpenAi, onWhole: () => told++);
        source.Send("data: x\n\n"u8);
        await relay.PrimeAsync();
        Assert.Equal("data: x\n\n", await ReadOnceAsync(relay));
        Assert.Equal(0, told);
        source.Send("data: [DONE]\n\n"u8);
        Assert.Equal("data: [DONE]\n\n", await ReadOnceAsync(relay));
        Assert.Equal((1, RelayEnd.None), (told, relay.Ended));
        source.End();
        Assert.Equal("", await ReadAllAsync(relay));
        Assert.Equal((1, RelayEnd.Complete), (told, relay.Ended));
    }

    [Theory]
    [InlineData("data: x\n\n")]
    [InlineData("data: x\n\ndata: {\"error\":{\"message\":\"boom\"}}\n\n")]
    public async Task Whole_StreamThatBreaksOrFails_IsNeverTold(string text)
    {
        var told = 0;
        await using var relay = Relay(ScriptStream.Of([Encoding.UTF8.GetBytes(text)]), ApiDialect.OpenAi, onWhole: () => told++);
        await relay.PrimeAsync();
        await ReadAllAsync(relay);
        Assert.Equal((0, RelayEnd.Broken), (told, relay.Ended));
    }

    [Fact]
    public async Task Whole_AnswerOfAnnouncedLength_IsToldWithItsLastByte()
    {
        var source = new ScriptStream();
        var told = 0;
        using var timer = Timer();
        await using var relay = new RelayStream(source, null, "req-1", timer) { Announced = 4, Watcher = new Told(null, null, () => told++) };
        source.Send("ab"u8);
        await relay.PrimeAsync();
        Assert.Equal("ab", await ReadOnceAsync(relay));
        Assert.Equal(0, told);
        source.Send("cd"u8);
        Assert.Equal("cd", await ReadOnceAsync(relay));
        Assert.Equal(1, told);

        // Its end is known: nobody waits for more.
        Assert.Equal("", await ReadAllAsync(relay));
        Assert.Equal((1, RelayEnd.Complete), (told, relay.Ended));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(2, 61)]
    [InlineData(3, 1 << 20)]
    public async Task Read_SeveralAnswersOfLlamaServersOwn_EndWithTheLastOfThem(int answers, int piece)
    {
        // The first end is too long to hold: it comes in parts that overlap, and counts once.
        var ends = Enumerable.Range(0, answers).Select(index =>
            $"data: {{\"index\":{index},\"stop\":true,\"timings\":{{\"cache_n\":1,\"prompt_n\":4,\"predicted_n\":10}},\"prompt\":\"{new string('x', index == 0 ? 2 * RelayStream.LongestHeld : 10)}\",\"stop\":true}}\n\n");
        var bytes = Encoding.UTF8.GetBytes(string.Concat(ends.Select(end => "data: {\"content\":\"a\",\"stop\":false}\n\n" + end)));

        Assert.Equal((RelayEnd.Complete, bytes.Length, new TokenUsage(5 * answers, answers, 10 * answers)), await ReadAsync(answers, bytes));
        Assert.Equal(RelayEnd.Broken, (await ReadAsync(answers + 1, bytes)).Ended);

        async Task<(RelayEnd Ended, int Length, TokenUsage? Usage)> ReadAsync(int expected, byte[] sent)
        {
            using var timer = Timer();
            await using var relay = new RelayStream(ScriptStream.Of(Cut(sent, [piece])), new StreamShape(ApiDialect.Native, expected), "req-1", timer) { Watcher = new Told(null, null, null) };
            await relay.PrimeAsync();
            var output = await ReadAllAsync(relay);
            return (relay.Ended, output.Length, relay.Usage);
        }
    }

    [Theory]
    [InlineData("data: {\"content\":\"\"}\n\n", true)]
    [InlineData("data: {\"content\":\"\",\"stop\":true}\n\n", true)]
    [InlineData("data: {\"content\":\"a\",\"stop\":false}\n\n", false)]
    [InlineData(": comment\n\n", false)]
    public void IsLast_FieldsOfTheClientsChoice_IsWhatDoesNotSayThatItGoesOn(string text, bool isLast) =>
        Assert.Equal(isLast, StreamEnd.IsLast(new(ApiDialect.Native, 1, PicksFields: true), Encoding.UTF8.GetBytes(text)));

    [Theory]
    [InlineData(ApiDialect.OpenAi, "data: [DONE]\n\n", true)]
    [InlineData(ApiDialect.OpenAi, "data:[DONE]\n\n", true)]
    [InlineData(ApiDialect.OpenAi, "data: {\"content\":\"[DONE]\"}\n\n", false)]
    [InlineData(ApiDialect.Native, "data: {\"content\":\"\",\"stop\":true}\n\n", true)]
    [InlineData(ApiDialect.Native, "data: {\"content\":\"\\\"stop\\\":true\",\"stop\":false}\n\n", false)]
    [InlineData(ApiDialect.Messages, "event: message_stop\ndata: {}\n\n", true)]
    [InlineData(ApiDialect.Messages, "event: message_stopped\ndata: {}\n\n", false)]
    [InlineData(ApiDialect.Messages, "data: [DONE]\n\n", false)]
    [InlineData(ApiDialect.Responses, "event: response.completed\r\ndata: {}\r\n\r\n", true)]
    [InlineData(ApiDialect.Responses, "event: response.incomplete\ndata: {}\n\n", true)]
    [InlineData(ApiDialect.Responses, "event: response.created\ndata: {}\n\n", false)]
    public void IsLast_EachApi_HasItsOwnEnd(object dialect, string text, bool isLast) =>
        Assert.Equal(isLast, StreamEnd.IsLast(new((ApiDialect)dialect), Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void ErrorEvent_EachApi_IsOneEventThatIsAnErrorAndNoEnd() => Assert.All(Dialects, dialect =>
    {
        var bytes = StreamEnd.ErrorEvent(dialect, ApiErrors.StreamBroken, "req-1");
        Assert.Equal(bytes.Length, EventFraming.NextEvent(bytes));
        Assert.True(StreamEnd.IsError(bytes));
        Assert.False(StreamEnd.IsLast(new(dialect), bytes));
        var json = System.Text.Json.JsonDocument.Parse(Encoding.UTF8.GetString(bytes).Split("data: ")[1]).RootElement;
        Assert.Equal(dialect is ApiDialect.Responses or ApiDialect.Messages, json.TryGetProperty("type", out _));
        Assert.Equal(dialect is ApiDialect.Responses or ApiDialect.Messages, Encoding.UTF8.GetString(bytes).StartsWith("event: error\n", StringComparison.Ordinal));
    });

    [Fact]
    public async Task Prime_NoFirstTokenInTime_IsCancelledAndExpired()
    {
        var source = new ScriptStream();
        using var timer = Timer();
        await using var relay = Relay(source, ApiDialect.OpenAi, timer);
        var primed = relay.PrimeAsync();
        _time.Advance(TimeSpan.FromSeconds(9));
        source.Send(": ping\n\n"u8);
        Assert.False(primed.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => primed.WaitAsync(Ct));
        Assert.True(timer.HasExpired);
    }

    [Fact]
    public async Task Read_SilenceBetweenTokens_EndsWithAnErrorEvent()
    {
        var source = new ScriptStream();
        using var timer = Timer();
        await using var relay = Relay(source, ApiDialect.OpenAi, timer);
        source.Send("data: x\n\ndata: ha"u8);
        await relay.PrimeAsync();
        var rest = ReadAllAsync(relay);
        _time.Advance(TimeSpan.FromSeconds(5));
        var output = await rest.WaitAsync(Ct);
        Assert.StartsWith("data: x\n\ndata: {\"error\":", output, StringComparison.Ordinal);
        Assert.Equal(RelayEnd.TimedOut, relay.Ended);
    }

    [Fact]
    public async Task Read_CommentsBetweenTokens_DoNotProlongTheWait()
    {
        var source = new ScriptStream();
        using var timer = Timer();
        await using var relay = Relay(source, ApiDialect.OpenAi, timer);
        source.Send("data: x\n\n"u8);
        await relay.PrimeAsync();
        Assert.Equal("data: x\n\n", await ReadOnceAsync(relay));
        for (var i = 0; i < 4; i++)
        {
            var next = ReadOnceAsync(relay);
            _time.Advance(TimeSpan.FromSeconds(1));
            source.Send(": ping\n\n"u8);
            Assert.Equal(": ping\n\n", await next.WaitAsync(Ct));
        }

        var last = ReadOnceAsync(relay);
        source.Send("data: ha"u8);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.StartsWith("data: {\"error\":", await last.WaitAsync(Ct), StringComparison.Ordinal);
        Assert.Equal(RelayEnd.TimedOut, relay.Ended);
    }

    [Fact]
    public async Task Read_TokensInTime_GoOnUntilTheTotalIsOver()
    {
        var source = new ScriptStream();
        using var timer = Timer();
        await using var relay = Relay(source, ApiDialect.OpenAi, timer);
        source.Send("data: x\n\n"u8);
        await relay.PrimeAsync();
        await ReadOnceAsync(relay);
        for (var i = 0; i < 24; i++)
        {
            var next = ReadOnceAsync(relay);
            _time.Advance(TimeSpan.FromSeconds(4));
            source.Send("data: y\n\n"u8);
            Assert.Equal("data: y\n\n", await next.WaitAsync(Ct));
        }

        var last = ReadOnceAsync(relay);
        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.StartsWith("data: {\"error\":", await last.WaitAsync(Ct), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Read_SlowClient_NeverCountsAgainstTheBackend()
    {
        var source = new ScriptStream();
        using var timer = Timer();
        await using var relay = Relay(source, ApiDialect.OpenAi, timer);
        source.Send("data: x\n\n"u8);
        await relay.PrimeAsync();
        _time.Advance(TimeSpan.FromSeconds(50));
        source.Send("data: [DONE]\n\n"u8);
        source.End();
        Assert.Equal("data: x\n\ndata: [DONE]\n\n", await ReadAllAsync(relay));
        Assert.Equal(RelayEnd.Complete, relay.Ended);
    }

    [Fact]
    public async Task Read_BackendGone_EndsWithAnErrorEvent()
    {
        var source = new ScriptStream();
        var broken = 0;
        await using var relay = Relay(source, ApiDialect.Messages, onBroken: () => broken++);
        source.Send("event: a\ndata: {}\n\n"u8);
        await relay.PrimeAsync();
        var rest = ReadAllAsync(relay);
        await _gone.CancelAsync();
        Assert.Contains("event: error\n", await rest.WaitAsync(Ct), StringComparison.Ordinal);
        Assert.Equal((RelayEnd.Broken, 1), (relay.Ended, broken));
    }

    [Fact]
    public async Task Read_ReaderCancels_Throws()
    {
        var source = new ScriptStream();
        await using var relay = Relay(source, ApiDialect.OpenAi);
        source.Send("data: x\n\n"u8);
        await relay.PrimeAsync();
        await ReadOnceAsync(relay);
        var next = relay.ReadAsync(new byte[10], _aborted.Token).AsTask();
        await _aborted.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
    }

    [Fact]
    public async Task Wait_ClientHasLeftAndTheSourceEnds_EndsWithoutAWordToAnybody()
    {
        var source = new ScriptStream();
        var broken = 0;
        await using var relay = Relay(source, ApiDialect.OpenAi, onBroken: () => broken++);
        source.Send("data: x\n\n"u8);
        await relay.PrimeAsync();
        await ReadOnceAsync(relay);
        await _aborted.CancelAsync();
        source.End();

        Assert.False(await relay.WaitAsync(_aborted.Token));
        Assert.Equal((RelayEnd.Broken, 0), (relay.Ended, broken));
    }

    [Fact]
    public async Task Read_AnswerThatIsNoStream_IsUnchangedOrThrows()
    {
        var bytes = new byte[100_000];
        Random.Shared.NextBytes(bytes);
        await using var relay = Relay(ScriptStream.Of(Cut(bytes, [7000])), null);
        await relay.PrimeAsync();
        using var output = new MemoryStream();
        await relay.CopyToAsync(output, Ct);
        Assert.Equal(bytes, output.ToArray());
        Assert.Equal(RelayEnd.Complete, relay.Ended);

        await using var broken = Relay(ScriptStream.Of([bytes], new IOException("reset")), null);
        await broken.PrimeAsync();
        await Assert.ThrowsAsync<IOException>(() => broken.CopyToAsync(Stream.Null, Ct));
        Assert.Equal(RelayEnd.None, broken.Ended);
    }

    [Fact]
    public async Task Dispose_Relay_DisposesTheSource()
    {
        var source = ScriptStream.Of([]);
        await Relay(source, ApiDialect.OpenAi).DisposeAsync();
        Assert.True(source.IsDisposed);
    }

    private static string Last(ApiDialect dialect, string line) => dialect switch
    {
        ApiDialect.OpenAi => "data: [DONE]",
        ApiDialect.Responses => $"event: response.completed{line}data: {{\"type\":\"response.completed\"}}",
        ApiDialect.Messages => $"event: message_stop{line}data: {{\"type\":\"message_stop\"}}",
        _ => "data: {\"content\":\"\",\"stop\":true}",
    };

    private static IEnumerable<byte[]> Cut(byte[] bytes, int[] lengths)
    {
        for (int at = 0, i = 0; at < bytes.Length; i++)
        {
            var length = Math.Min(lengths[i % lengths.Length], bytes.Length - at);
            yield return bytes[at..(at + length)];
            at += length;
        }
    }

    private async Task<(string Output, RelayStream Relay)> RelayAsync(ScriptStream source, ApiDialect dialect)
    {
        using var timer = Timer();
        await using var relay = Relay(source, dialect, timer);
        await relay.PrimeAsync();
        return (await ReadAllAsync(relay), relay);
    }

    private RelayTimer Timer() =>
        new(_time, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(100), _gone.Token, _aborted.Token);

    private RelayStream Relay(ScriptStream source, ApiDialect? dialect, RelayTimer? timer = null, Action? onFirstToken = null, Action? onBroken = null, Action? onWhole = null) =>
        new(source, dialect is { } known ? new StreamShape(known) : null, "req-1", timer ?? Timer()) { Watcher = new Told(onFirstToken, onBroken, onWhole) };

    private static async Task<string> ReadAllAsync(RelayStream relay)
    {
        using var output = new MemoryStream();
        await relay.CopyToAsync(output, Ct);
        return Encoding.UTF8.GetString(output.GetBuffer(), 0, (int)output.Length);
    }

    private static async Task<string> ReadOnceAsync(RelayStream relay)
    {
        var buffer = new byte[4096];
        return Encoding.UTF8.GetString(buffer, 0, await relay.ReadAsync(buffer, Ct));
    }

    private sealed class Told(Action? onFirstToken, Action? onBroken, Action? onWhole) : IRelayWatcher
    {
        public void FirstToken() => onFirstToken?.Invoke();

        public void Broken() => onBroken?.Invoke();

        public void Whole() => onWhole?.Invoke();
    }
}
