using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>The pure parts of recovery: what was sent, how the rest is asked for, and how it is spliced.</summary>
public sealed class RecoveryPartsTests
{
    private const string ChatBody = """{"model":"m","stream":true,"max_tokens":50,"temperature":0,"messages":[{"role":"user","content":"hi"}]}""";

    private static readonly JsonSerializerOptions Unescaped = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly Gen<string> Piece = Gen.OneOf(Gen.Char[' ', '~'].Array[1, 5].Select(text => new string(text)), Gen.OneOf("ä", "漢字", "😀", "\"", "\\", "\n", "\u0001", "<s>", "\u2028"));

    private static InferenceEndpoint Chat { get; } = Endpoint("chat_completions");

    private static InferenceEndpoint Completions { get; } = Endpoint("completions");

    private static InferenceEndpoint Native { get; } = Endpoint("completion");

    [Fact]
    public void Note_AnyTexts_AreTheTextSoFarCharacterForCharacter() =>
        Gen.Select(Piece.Array[0, 30], Gen.Bool, Gen.OneOf("\n\n", "\r\n\r\n", "\r\r")).Sample((pieces, escapes, end) =>
        {
            var sent = new SentText();
            Note(sent, ": ping" + end);
            Note(sent, "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}],\"created\":5,\"id\":\"a\"}" + end);
            foreach (var piece in pieces)
            {
                var text = escapes ? JsonSerializer.Serialize(piece) : JsonSerializer.Serialize(piece, Unescaped);
                Note(sent, $"data: {{\"choices\":[{{\"finish_reason\":null,\"index\":0,\"delta\":{{\"content\":{text}}}}}],\"created\":5,\"id\":\"a\",\"object\":\"chat.completion.chunk\"}}{end}");
            }

            Assert.True(sent.CanContinue);
            Assert.Equal(string.Concat(pieces), Encoding.UTF8.GetString(sent.Text));
            Assert.Equal((pieces.Length, true, new StreamIdentity("\"a\"", "5", null, null)), (sent.Tokens, sent.HasRole, sent.Identity));
        });

    [Theory]
    [InlineData("""{"choices":[{"index":0,"delta":{"tool_calls":[{}]}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"refusal":"no"}}]}""")]
    [InlineData("""{"choices":[{"index":1,"delta":{"content":"b"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"b"}},{"index":1,"delta":{"content":"c"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"b"},"logprobs":{}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":["b"]}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"\ud800"}}]}""")]
    [InlineData("""{"choices":7}""")]
    [InlineData("""{"content":"b","stop":true}""")]
    [InlineData("""{"content":"b","stop":false,"completion_probabilities":[]}""")]
    [InlineData("""{"error":{"message":"x"}}""")]
    [InlineData("""{"choices":[{"index":0""")]
    [InlineData("[DONE]")]
    [InlineData("nonsense")]
    public void Note_WhatCantBeSaidOn_GivesUpForGood(string json)
    {
        var sent = Said("a");
        Note(sent, $"data: {json}\n\n");
        Assert.False(sent.CanContinue);
        Note(sent, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}\n\n");
        Assert.False(sent.CanContinue);
        Assert.Null(ContinuationRequest.Create(Chat, Encoding.UTF8.GetBytes(ChatBody), sent, 1));
    }

    [Fact]
    public void Note_PartOfALongEventOrTooMuchText_GivesUp()
    {
        var part = new SentText();
        part.Note("data: {\"choices\":[]}\n\n"u8, isWhole: false);
        Assert.False(part.CanContinue);

        var much = new SentText();
        for (var i = 0; i < 70 && much.CanContinue; i++)
        {
            Note(much, $"data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{new string('x', 4096)}\"}}}}]}}\n\n");
        }

        Assert.False(much.CanContinue);
        Assert.InRange(much.Text.Length, 1, SentText.Longest);
    }

    [Fact]
    public void Create_Chat_EndsWithWhatWasSaidAndAsksForTheRest()
    {
        var body = Create(Chat, ChatBody, Said("Hello", ", wörld"), tokens: 2);
        Assert.Equal("""{"model":"m","stream":true,"max_tokens":48,"temperature":0,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello, wörld"}]}""", body);
    }

    [Fact]
    public void Create_Completion_PromptHoldsWhatWasSaid() =>
        Assert.Equal("""{"prompt":"Once upon","n_predict":7}""", Create(Native, """{"prompt":"Once","n_predict":9}""", Said(" upon"), tokens: 2));

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[{}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"n":2}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"logprobs":true}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"grammar":"root ::= x"}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"json_schema":{}}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"what_nobody_knows":1}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_tokens":2}""")]
    [InlineData("""{"messages":[{"role":"assistant","content":"x"}]}""")]
    [InlineData("""{"messages":[]}""")]
    [InlineData("""{"messages":"x"}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"user":"a","user":"b"}""")]
    [InlineData("""{"messages":[{"role":7,"content":"x"}]}""")]
    [InlineData("[]")]
    public void Create_WhatCantBeContinued_IsNull(string body) => Assert.Null(Create(Chat, body, Said("a", "b"), tokens: 2));

    [Theory]
    [InlineData("""{"prompt":["a","b"]}""")]
    [InlineData("""{"prompt":[1,2]}""")]
    [InlineData("""{"prompt":"a","echo":true}""")]
    [InlineData("""{"prompt":"a","suffix":"b"}""")]
    [InlineData("""{"prompt":"a","logprobs":3}""")]
    public void Create_CompletionThatCantBeContinued_IsNull(string body) => Assert.Null(Create(Completions, body, Said("a"), tokens: 1));

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[],"tool_choice":"none","n":1,"logprobs":false,"response_format":{"type":"text"},"grammar":null}""")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"max_tokens":-1,"stop":["a"],"seed":7}""")]
    public void Create_HarmlessFields_AreNoReasonNotTo(string body) => Assert.NotNull(Create(Chat, body, Said("a"), tokens: 1));

    [Fact]
    public void Create_NothingSaidYet_IsNull() => Assert.Null(Create(Chat, ChatBody, new SentText(), tokens: 0));

    [Fact]
    public void Rewrite_ChatEvents_BelongToTheFirstStream()
    {
        var sent = Said("a", "b", "c");
        var splice = new Splice(sent, sentTokens: 3, textTokens: 2, Encoding.UTF8.GetBytes(ChatBody));
        Assert.Empty(Rewrite(splice, """{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":9,"id":"z","model":"other"}"""));
        Assert.Equal(
            """data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"ä\"漢"}}],"created":5,"id":"first","model":"m"}""" + "\n\n",
            Rewrite(splice, """{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"ä\"漢"}}],"created":9,"id":"z","model":"other"}"""));

        // 10 prompt tokens of which 2 are what was said; 4 new ones.
        var usage = Json(Rewrite(splice, """{"choices":[],"id":"z","usage":{"completion_tokens":4,"prompt_tokens":12,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":11}},"timings":{"cache_n":11,"prompt_n":1,"prompt_ms":3,"predicted_n":4,"predicted_ms":7}}"""));
        Assert.Equal("""{"completion_tokens":7,"prompt_tokens":10,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":10}}""", usage["usage"]!.ToJsonString());
        Assert.Equal("""{"cache_n":10,"prompt_n":0,"predicted_n":7}""", usage["timings"]!.ToJsonString());
    }

    [Fact]
    public void Rewrite_NativeEvents_CountOnAndRepeatTheClientsOwnRequest()
    {
        var splice = new Splice(Said("a", "b"), sentTokens: 2, textTokens: 2, """{"prompt":"Once","n_predict":9}"""u8.ToArray());
        var token = Json(Rewrite(splice, """{"index":0,"content":"x","stop":false,"tokens_predicted":1,"tokens_evaluated":5}"""));
        Assert.Equal((3, 3), ((int)token["tokens_predicted"]!, (int)token["tokens_evaluated"]!));
        var last = Json(Rewrite(splice, """{"content":"","stop":true,"prompt":"Once upon","tokens_predicted":7,"tokens_evaluated":5,"generation_settings":{"n_predict":7,"max_tokens":7}}"""));
        Assert.Equal(("Once", 9, 9, 9), ((string?)last["prompt"], (int)last["tokens_predicted"]!, (int)last["generation_settings"]!["n_predict"]!, (int)last["generation_settings"]!["max_tokens"]!));
    }

    [Theory]
    [InlineData(": ping\n\n")]
    [InlineData("data: [DONE]\n\n")]
    [InlineData("data: {\"error\":{\"message\":\"x\"}}\n\n")]
    [InlineData("data: {broken\n\n")]
    [InlineData("event: a\ndata: {}\n\n")]
    public void Rewrite_AnythingElse_IsUnchanged(string text) =>
        Assert.Equal(text, Encoding.UTF8.GetString(new Splice(Said("a"), 1, 1, "{}"u8.ToArray()).Rewrite(Encoding.UTF8.GetBytes(text))));

    [Fact]
    public void Rewrite_KeyThatStandsTwice_Throws() =>
        Assert.Throws<IOException>(() => Rewrite(new Splice(Said("a"), 1, 1, "{}"u8.ToArray()), """{"id":"y","id":"z","choices":[]}"""));

    /// <summary>The promise itself: cut anywhere, the client's text is the undisturbed one, and so are the counts.</summary>
    [Fact]
    public async Task Splice_StreamCutAnywhere_IsTheUndisturbedStream() =>
        await Gen.Select(Piece.Array[1, 20], Gen.Double[0, 1], Gen.Int[1, 300]).SampleAsync(
            async (pieces, where, chunk) =>
            {
                var cut = 1 + (int)((pieces.Length - 1) * where);
                var sent = Said(pieces[..cut]);
                Assert.Equal(string.Concat(pieces[..cut]), (string?)JsonNode.Parse(Create(Chat, ChatBody, sent, sent.Tokens)!)!["messages"]![1]!["content"]);
                var rest = new StringBuilder();
                rest.Append(Event("""{"role":"assistant","content":null}""", "z"));
                foreach (var piece in pieces[cut..])
                {
                    rest.Append(Event($$"""{"content":{{JsonSerializer.Serialize(piece)}}}""", "z"));
                }

                rest.Append("data: [DONE]\n\n");
                await using var spliced = new SplicedStream(
                    ScriptStream.Of(Encoding.UTF8.GetBytes(rest.ToString()).Chunk(chunk)), new Splice(sent, sent.Tokens, sent.Tokens, Encoding.UTF8.GetBytes(ChatBody)));
                using var reader = new StreamReader(spliced);
                var text = string.Concat(pieces[..cut]);
                foreach (var one in (await reader.ReadToEndAsync(TestContext.Current.CancellationToken)).Split("\n\n", StringSplitOptions.RemoveEmptyEntries))
                {
                    if (one != "data: [DONE]")
                    {
                        var json = JsonNode.Parse(one["data: ".Length..])!;
                        Assert.Equal("first", (string?)json["id"]);
                        text += (string?)json["choices"]![0]!["delta"]!["content"];
                    }
                }

                Assert.Equal(string.Concat(pieces), text);
            },
            iter: 300);

    private static InferenceEndpoint Endpoint(string name) => InferenceEndpoint.All.Single(endpoint => endpoint.Name == name);

    private static string Event(string delta, string id) =>
        $"data: {{\"choices\":[{{\"finish_reason\":null,\"index\":0,\"delta\":{delta}}}],\"created\":5,\"id\":\"{id}\",\"model\":\"m\"}}\n\n";

    private static SentText Said(params string[] pieces)
    {
        var sent = new SentText();
        Note(sent, Event("""{"role":"assistant","content":null}""", "first"));
        foreach (var piece in pieces)
        {
            Note(sent, Event($$"""{"content":{{JsonSerializer.Serialize(piece)}}}""", "first"));
        }

        return sent;
    }

    private static void Note(SentText sent, string text) => sent.Note(Encoding.UTF8.GetBytes(text), isWhole: true);

    private static string? Create(InferenceEndpoint endpoint, string body, SentText sent, int tokens) =>
        ContinuationRequest.Create(endpoint, Encoding.UTF8.GetBytes(body), sent, tokens) is { } bytes ? Encoding.UTF8.GetString(bytes) : null;

    private static string Rewrite(Splice splice, string json) => Encoding.UTF8.GetString(splice.Rewrite(Encoding.UTF8.GetBytes($"data: {json}\n\n")));

    private static JsonObject Json(string text) => JsonNode.Parse(text["data: ".Length..])!.AsObject();
}
