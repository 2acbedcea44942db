using System.Net;
using System.Net.Sockets;
using System.Text;
using LlmGateway.TestKit;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public abstract partial class BackendFacts
{
    private const string LongStream = "\"stream\":true,\"max_tokens\":25000";

    [Fact]
    public async Task FiveRequestsOnTwoSlots_AreQueuedAndAllAnswered()
    {
        var backend = await SharedAsync();

        var requests = Enumerable.Range(0, 5).Select(i => backend.PostAsync("/v1/chat/completions", Chat($"number {i}", "\"max_tokens\":1500"), Cancellation)).ToList();
        await Eventually.GetAsync(() => backend.MetricAsync("requests_deferred", Cancellation), deferred => deferred > 0, "a queue", Cancellation);
        var replies = await Task.WhenAll(requests);

        Assert.All(replies, r => Assert.Equal(HttpStatusCode.OK, r.Status));
        await Eventually.GetAsync(() => backend.MetricAsync("requests_deferred", Cancellation), deferred => deferred == 0, "an empty queue", Cancellation);
    }

    [Fact]
    public async Task QueuedStream_SendsNothingUntilItHasASlot()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "30000", "-t", "1", "--metrics");
        var first = await backend.SendRawAsync("/v1/chat/completions", Chat("first", LongStream), Cancellation);
        await backend.SlotsBecomeBusyAsync(1, Cancellation);
        using var second = await backend.SendRawAsync("/v1/chat/completions", Chat("second", LongStream), Cancellation);
        await Eventually.GetAsync(() => backend.MetricAsync("requests_deferred", Cancellation), deferred => deferred == 1, "one request to be queued", Cancellation);

        Assert.False(second.DataAvailable);
        await first.DisposeAsync();

        var buffer = new byte[12];
        await second.ReadExactlyAsync(buffer, Cancellation);
        Assert.Equal("HTTP/1.1 200", Encoding.ASCII.GetString(buffer));
    }

    [Fact]
    public async Task ClientOfAStreamLeaves_SlotIsFreed()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "30000", "-t", "1");
        var stream = await backend.SendRawAsync("/v1/chat/completions", Chat("hello", LongStream), Cancellation);
        await backend.SlotsBecomeBusyAsync(1, Cancellation);

        await stream.DisposeAsync();

        await backend.SlotsBecomeIdleAsync(Cancellation, TimeSpan.FromSeconds(3));
        Assert.True((await backend.GetAsync("/slots", Cancellation)).Json[0].Number("n_prompt_tokens") < 25000);
    }

    [Fact]
    public async Task SecondTurn_ReusesTheFirst()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "2", "-c", "4096", "-t", "1");
        var words = string.Concat(Enumerable.Repeat("the time of the world ", 40));
        var first = (await backend.PostAsync("/v1/chat/completions", Chat(words, "\"max_tokens\":5"), Cancellation)).Json;
        var answer = first.GetProperty("choices")[0].GetProperty("message").Text("content");

        var second = (await backend.PostAsync(
            "/v1/chat/completions",
            $$"""{"messages":[{"role":"user","content":"{{words}}"},{"role":"assistant","content":"{{answer}}"},{"role":"user","content":"go on"}],"max_tokens":1}""",
            Cancellation)).Json;
        var again = (await backend.PostAsync("/v1/chat/completions", Chat(words, "\"max_tokens\":1"), Cancellation)).Json;
        var refused = (await backend.PostAsync("/v1/chat/completions", Chat(words, "\"max_tokens\":1,\"cache_prompt\":false"), Cancellation)).Json;

        var prompt = first.GetProperty("usage").Number("prompt_tokens");
        Assert.InRange(Cached(second), prompt - 20, second.GetProperty("usage").Number("prompt_tokens") - 1);
        Assert.Equal(prompt - 1, Cached(again));
        Assert.Equal((prompt - 1, 1), (again.GetProperty("timings").Number("cache_n"), again.GetProperty("timings").Number("prompt_n")));
        Assert.Equal(0, Cached(refused));

        static int Cached(System.Text.Json.JsonElement reply) => reply.GetProperty("usage").GetProperty("prompt_tokens_details").Number("cached_tokens");
    }

    [Fact]
    public async Task EvictedConversation_ComesBackFromMemory()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "4096", "-t", "1");
        await using var without = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "4096", "-t", "1", "--cache-ram", "0");
        var (a, b) = (string.Concat(Enumerable.Repeat("a good time ", 60)), string.Concat(Enumerable.Repeat("water under ", 60)));

        Assert.True(await CachedOfThirdAsync(backend) > 100);
        Assert.True(await CachedOfThirdAsync(without) < 100);

        async Task<int> CachedOfThirdAsync(RunningBackend server)
        {
            foreach (var text in (string[])[a, b])
            {
                await server.PostAsync("/v1/chat/completions", Chat(text, "\"max_tokens\":1"), Cancellation);
            }

            var third = (await server.PostAsync("/v1/chat/completions", Chat(a, "\"max_tokens\":1"), Cancellation)).Json;
            return third.GetProperty("timings").Number("cache_n");
        }
    }

    [Fact]
    public async Task Connection_AfterAStream_IsClosedUnannounced()
    {
        var backend = await SharedAsync();
        using var connection = await backend.SendRawAsync("/v1/chat/completions", Chat("hello", "\"stream\":true,\"max_tokens\":2"), Cancellation);

        var everything = await ReadToEndAsync(connection);

        Assert.EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n", everything, StringComparison.Ordinal);
        Assert.DoesNotContain("Connection: close", everything, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Connection_AfterAnAnswerThatIsNotStreamed_CarriesTheNext()
    {
        var backend = await SharedAsync();
        using var connection = await backend.SendRawAsync("/tokenize", """{"content":"one"}""", Cancellation);
        var first = await ReadUntilAsync(connection, "]}");

        await connection.WriteAsync("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8.ToArray(), Cancellation);

        Assert.StartsWith("HTTP/1.1 200", first, StringComparison.Ordinal);
        Assert.EndsWith("{\"status\":\"ok\"}", await ReadToEndAsync(connection), StringComparison.Ordinal);
    }

    private static async Task<string> ReadToEndAsync(NetworkStream connection)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);

        // Below the five seconds after which an idle connection ends anyway.
        limit.CancelAfter(TimeSpan.FromSeconds(4));
        using var reader = new StreamReader(connection, Encoding.UTF8, leaveOpen: true);
        return await reader.ReadToEndAsync(limit.Token);
    }

    private static async Task<string> ReadUntilAsync(NetworkStream connection, string end)
    {
        var (text, buffer) = (new StringBuilder(), new byte[4096]);
        while (!text.ToString().EndsWith(end, StringComparison.Ordinal))
        {
            var read = await connection.ReadAsync(buffer, Cancellation);
            Assert.NotEqual(0, read);
            text.Append(Encoding.UTF8.GetString(buffer, 0, read));
        }

        return text.ToString();
    }
}
