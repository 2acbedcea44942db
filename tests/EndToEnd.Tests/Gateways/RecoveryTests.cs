using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Backends die in the middle of streams, and other ones say the rest: on the simulator, whose text is a function of prompt and position, and on the real server.</summary>
public sealed class RecoveryTests
{
    private const int Limit = 240_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory(Timeout = Limit)]
    [InlineData(24, 6)]
    public Task Kills_AtRandomPointsOfStreams_EveryTextIsExactOrEndsWithTheErrorEvent(int streams, int kills) => KillsAsync(streams, kills);

    [Theory(Timeout = Limit)]
    [Trait("Suite", "Long")]
    [InlineData(104, 26)]
    public Task Kills_OfAHundredStreams_EveryTextIsExactOrEndsWithTheErrorEvent(int streams, int kills) => KillsAsync(streams, kills);

    [Fact(Timeout = Limit)]
    public async Task Stream_OfTheSimulator_IsNotContinuedUnlessConfigured()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4 } } }""", Ct);
        using var answer = await gateway.Data.StreamAsync("demo", 200, Ct);
        await answer.ReadAsync(3, Ct);
        Process.GetProcessById((await gateway.StatusAsync(Ct)).Replica(answer.Backend!).Pid!.Value).Kill();
        await answer.ReadToEndAsync(Ct);
        Assert.True(answer.IsBrokenHonestly, answer.ToString());
    }

    [Theory(Timeout = Limit)]
    [Trait("Suite", "Real")]
    [InlineData("v1/chat/completions", """{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":120,"temperature":0,"messages":[{"role":"user","content":"the water and the light"}]}""", "data: [DONE]")]
    [InlineData("v1/completions", """{"model":"m","stream":true,"max_tokens":120,"temperature":0,"prompt":"the water and the light"}""", "data: [DONE]")]
    [InlineData("completion", """{"model":"m","stream":true,"n_predict":120,"temperature":0,"prompt":"the water and the light"}""", "\"stop\":true")]
    public async Task Real_ServerKilledInTheMiddle_TheOtherOneSaysTheRest(string path, string body, string last)
    {
        RealServer.SkipIfAbsent();
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Models": { "m": {
                "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{RealServer.MediumModel}}", "-c", "2048"], "Replicas": 2, "Slots": 2,
                "Restart": { "InitialBackoff": "100ms", "MaxRestarts": 100 } } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        var request = JsonNode.Parse(body)!;
        using var undisturbed = await (await gateway.Data.StreamAsync(path, request, Ct)).ReadToEndAsync(Ct);
        var expected = TextOf(undisturbed);
        var comparable = 0;
        int[] cuts = [1, 2, 4, 8, 41];
        foreach (var cut in cuts)
        {
            var both = await gateway.UntilAsync(status => status.Replicas.All(replica => replica.State == "ready"), "both servers", Ct);
            using var answer = await gateway.Data.StreamAsync(path, request, Ct);
            using var speaking = Process.GetProcessById(both.Replica(answer.Backend!).Pid!.Value);
            await answer.ReadAsync(cut + 1, Ct);
            speaking.Kill(); // at once: the server is ahead of what is read here
            var before = TextOf(answer);
            await answer.ReadToEndAsync(Ct);

            Assert.True(answer.Fault is null && !answer.HasError, answer.ToString());
            Assert.Contains(last, answer.Events[^1], StringComparison.Ordinal);
            Assert.StartsWith(before, TextOf(answer), StringComparison.Ordinal);
            Assert.StartsWith(before, expected, StringComparison.Ordinal);
            Assert.Equal(Tokens(undisturbed), Tokens(answer));
            Assert.Equal(Field(undisturbed, "finish_reason"), Field(answer, "finish_reason"));
            Assert.Single(answer.Events.Where(text => text.StartsWith("data: {", StringComparison.Ordinal)).Select(text => (string?)JsonNode.Parse(text["data: ".Length..])!["id"]).Distinct());

            // Where what was said tokenises back to the same tokens, the whole is the undisturbed text; with a model of noise that is not everywhere.
            if (await IsSameTokensAsync(gateway, Texts(answer).Take(await TokensBeforeTheBreakAsync(gateway, answer)).ToList()))
            {
                comparable++;
                Assert.Equal(expected, TextOf(answer));
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{path}: {comparable} of {cuts.Length} cuts fell where the text tokenises back");
        Assert.Equal(cuts.Length, await gateway.MetricAsync("llmgateway_stream_recoveries_total", Ct, ("model", "m"), ("result", "recovered")));
    }

    private static async Task KillsAsync(int streams, int kills)
    {
        const int Tokens = 80;
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4, "SlowStart": "0s", "Args": ["--sim-token-rate", "60"], "Retry": { "RecoverStreams": true },
                "Restart": { "InitialBackoff": "50ms", "MaxBackoff": "50ms", "MaxRestarts": 1000 } } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        var seed = Environment.TickCount;
        var random = new Random(seed);
        var expected = new Dictionary<int, string>();
        for (var i = 0; i < streams; i++)
        {
            using var whole = await gateway.Data.PostAsJsonAsync("v1/chat/completions", Chat(i, 80, stream: false), Ct);
            expected[i] = (string)(await whole.JsonAsync(Ct))["choices"]![0]!["message"]!["content"]!;
        }

        var killed = 0;
        var answers = new List<(int Number, StreamedAnswer Answer)>();
        foreach (var wave in Enumerable.Range(0, streams).Chunk(streams / kills))
        {
            await gateway.UntilAsync(status => status.Replicas.All(replica => replica.State == "ready"), "both replicas", Ct);
            var running = wave.Select(async number => (number, await gateway.Data.StreamAsync("v1/chat/completions", Chat(number, 80, stream: true), Ct))).ToList();
            var begun = await Task.WhenAll(running);
            var (_, victim) = begun[random.Next(begun.Length)];
            await victim.ReadAsync(1 + random.Next(Tokens - 10), Ct);
            if ((await gateway.StatusAsync(Ct)).Replica(victim.Backend!).Pid is { } pid)
            {
                Process.GetProcessById(pid).Kill();
                killed++;
            }

            foreach (var (number, answer) in begun)
            {
                await answer.ReadToEndAsync(Ct);
                answers.Add((number, answer));
            }
        }

        Assert.InRange(killed, kills / 2, kills);
        Assert.All(answers, one =>
        {
            var (number, answer) = one;
            var text = TextOf(answer);
            Assert.True(answer.IsWhole ? text == expected[number] : answer.IsBrokenHonestly && expected[number].StartsWith(text, StringComparison.Ordinal), $"seed {seed}, {number}: {answer}\n{text}\n{expected[number]}");
            answer.Dispose();
        });

        // Not a single one had to give up: there was always somebody, or somebody came back.
        Assert.All(answers, one => Assert.True(one.Answer.IsWhole, $"seed {seed}, {one.Number}: {one.Answer}"));
        var recovered = await gateway.MetricAsync("llmgateway_stream_recoveries_total", Ct, ("model", "demo"), ("result", "recovered"));
        Assert.True(recovered >= killed, $"{killed} kills, {recovered} recovered");
    }

    private static JsonObject Chat(int number, int tokens, bool stream) => new()
    {
        ["model"] = "demo",
        ["stream"] = stream,
        ["max_tokens"] = tokens,
        ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = $"question {number}" }),
    };

    /// <summary>The text of a stream of any of the three APIs.</summary>
    private static string TextOf(StreamedAnswer answer) => string.Concat(Texts(answer));

    private static IEnumerable<string> Texts(StreamedAnswer answer) => answer.Events.Where(text => text.StartsWith("data: {", StringComparison.Ordinal)).Select(text =>
    {
        var json = JsonNode.Parse(text["data: ".Length..])!;
        var choice = json["choices"] is JsonArray { Count: > 0 } choices ? choices[0] : null;
        return (string?)(choice?["delta"]?["content"] ?? choice?["text"] ?? json["content"]) ?? "";
    }).Where(text => text.Length > 0);

    /// <summary>What the gateway's log says of where a stream was cut; the line may be read later than the stream's end.</summary>
    private static async Task<int> TokensBeforeTheBreakAsync(GatewayProcess gateway, StreamedAnswer answer)
    {
        var broke = new Regex($"{answer.Response.Header("x-request-id")}: \\S+ broke off after (\\d+) tokens");
        var line = await gateway.Process.WaitForLineAsync(broke.IsMatch, Ct);
        return int.Parse(broke.Match(line).Groups[1].Value, CultureInfo.InvariantCulture);
    }

    /// <summary>True when the server takes these texts together for the same tokens that they were apart.</summary>
    private static async Task<bool> IsSameTokensAsync(GatewayProcess gateway, List<string> texts)
    {
        using var response = await gateway.Data.PostAsJsonAsync("tokenize", new { model = "m", content = "\n" + string.Concat(texts), add_special = false, with_pieces = true }, Ct);
        var pieces = (await response.JsonAsync(Ct))["tokens"]!.AsArray().Select(token => token!["piece"] is JsonValue piece && piece.TryGetValue(out string? text) ? text : "").ToList();
        return pieces.Count >= texts.Count && pieces.TakeLast(texts.Count).SequenceEqual(texts);
    }

    /// <summary>Tokens of prompt and answer, as the last events say.</summary>
    private static (int? Prompt, int? Completion) Tokens(StreamedAnswer answer)
    {
        var json = JsonNode.Parse(answer.Events.Last(text => text.Contains("\"usage\"", StringComparison.Ordinal) || text.Contains("\"tokens_predicted\"", StringComparison.Ordinal))["data: ".Length..])!;
        return json["usage"] is { } usage ? ((int?)usage["prompt_tokens"], (int?)usage["completion_tokens"]) : ((int?)json["tokens_evaluated"], (int?)json["tokens_predicted"]);
    }

    private static string? Field(StreamedAnswer answer, string name) => answer.Events.Where(text => text.Contains($"\"{name}\":\"", StringComparison.Ordinal))
        .Select(text => (string?)JsonNode.Parse(text["data: ".Length..])!["choices"]?[0]?[name]).LastOrDefault();
}
