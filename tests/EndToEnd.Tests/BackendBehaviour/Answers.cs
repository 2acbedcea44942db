using System.Net;
using System.Text.Json;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public abstract partial class BackendFacts
{
    [Theory]
    [InlineData("/v1/chat/completions")]
    [InlineData("/chat/completions")]
    public async Task Chat_NotStreamed_IsOneObject(string path)
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync(path, Chat("hello world", "\"model\":\"unknown\",\"max_tokens\":4"), Cancellation);

        Assert.Equal("application/json; charset=utf-8", reply.Header("Content-Type"));
        Assert.Equal("choices created model system_fingerprint object usage id timings", reply.Json.Members());
        Assert.Equal("finish_reason index message", reply.Json.GetProperty("choices")[0].Members());
        Assert.Equal("length", reply.Json.GetProperty("choices")[0].Text("finish_reason"));
        Assert.Equal("role content", reply.Json.GetProperty("choices")[0].GetProperty("message").Members());
        Assert.Equal("chat.completion", reply.Json.Text("object"));
        Assert.Equal("alpha", reply.Json.Text("model"));
        Assert.StartsWith("chatcmpl-", reply.Json.Text("id"), StringComparison.Ordinal);
        Assert.Equal("completion_tokens prompt_tokens total_tokens prompt_tokens_details", reply.Json.GetProperty("usage").Members());
        Assert.Equal(4, reply.Json.GetProperty("usage").Number("completion_tokens"));
        Assert.Equal(TimingMembers, reply.Json.GetProperty("timings").Members());
    }

    [Fact]
    public async Task Chat_Streamed_IsRoleTokensEndDone()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/v1/chat/completions", Chat("hello world", "\"stream\":true,\"max_tokens\":4"), Cancellation);

        Assert.Equal("text/event-stream", reply.Header("Content-Type"));
        Assert.Equal("no", reply.Header("X-Accel-Buffering"));
        Assert.Equal("timeout=5, max=100", reply.Header("Keep-Alive"));
        Assert.Equal("(absent)", reply.Header("Connection"));
        Assert.EndsWith("\n\ndata: [DONE]\n\n", reply.Body, StringComparison.Ordinal);
        Assert.All(reply.Events, e => Assert.Null(e.Name));
        Assert.Equal("[DONE]", reply.Events[^1].Data);
        var events = reply.Events.SkipLast(1).Select(e => e.Json()).ToList();
        Assert.Equal(6, events.Count);
        Assert.All(events.SkipLast(1), e => Assert.Equal("choices created id model system_fingerprint object", e.Members()));
        Assert.All(events, e => Assert.Equal("chat.completion.chunk", e.Text("object")));
        Assert.Equal("{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}", events[0].GetProperty("choices")[0].GetRawText());
        Assert.All(events[1..^1], e => Assert.NotEmpty(e.GetProperty("choices")[0].GetProperty("delta").Text("content")));
        Assert.Equal("{\"finish_reason\":\"length\",\"index\":0,\"delta\":{}}", events[^1].GetProperty("choices")[0].GetRawText());
        Assert.Equal("choices created id model system_fingerprint object timings", events[^1].Members());
        Assert.Equal(TimingMembers, events[^1].GetProperty("timings").Members());
    }

    [Fact]
    public async Task Chat_StreamedWithUsage_HasItInAnEventWithoutChoices()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync(
            "/v1/chat/completions",
            Chat("hello world", "\"stream\":true,\"max_tokens\":3,\"stream_options\":{\"include_usage\":true}"),
            Cancellation);

        var events = reply.Events.SkipLast(1).Select(e => e.Json()).ToList();
        Assert.Equal("choices created id model system_fingerprint object", events[^2].Members());
        Assert.Equal("choices created id model system_fingerprint object usage timings", events[^1].Members());
        Assert.Equal(0, events[^1].GetProperty("choices").GetArrayLength());
        var usage = events[^1].GetProperty("usage");
        Assert.Equal("completion_tokens prompt_tokens total_tokens prompt_tokens_details", usage.Members());
        Assert.Equal(usage.Number("total_tokens"), usage.Number("prompt_tokens") + 3);
    }

    [Fact]
    public async Task Chat_StreamedWithProgress_TellsOfThePrompt()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync(
            "/v1/chat/completions",
            Chat("tell of the prompt", "\"stream\":true,\"max_tokens\":2,\"return_progress\":true,\"cache_prompt\":false"),
            Cancellation);

        var progress = reply.Events.SkipLast(1).Select(e => e.Json()).Where(e => e.TryGetProperty("prompt_progress", out _)).Select(e => e.GetProperty("prompt_progress")).ToList();
        Assert.All(progress, p => Assert.Equal("total cache processed time_ms", p.Members()));
        Assert.Equal(0, progress[0].Number("processed"));
        Assert.Equal(progress[0].Number("total"), progress[^1].Number("processed"));
    }

    [Fact]
    public async Task Chat_TwoChoices_UseTwoSlotsAndCountOne()
    {
        var backend = await SharedAsync();

        var whole = (await backend.PostAsync("/v1/chat/completions", Chat("hello", "\"n\":2,\"max_tokens\":2"), Cancellation)).Json;
        var streamed = await backend.PostAsync("/v1/chat/completions", Chat("hello", "\"n\":2,\"max_tokens\":2,\"stream\":true"), Cancellation);

        Assert.Equal([0, 1], whole.GetProperty("choices").EnumerateArray().Select(c => c.Number("index")));
        Assert.Equal(2, whole.GetProperty("usage").Number("completion_tokens"));
        var choices = streamed.Events.SkipLast(1).Select(e => e.Json().GetProperty("choices")[0]).ToLookup(c => c.Number("index"));
        Assert.Equal(4, choices[0].Count());
        Assert.Equal(4, choices[1].Count());
        Assert.Single(streamed.Events, e => e.Data == "[DONE]");
    }

    [Fact]
    public async Task Chat_ZeroTokens_GivesOne()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/v1/chat/completions", Chat("hello", "\"max_tokens\":0"), Cancellation);

        Assert.Equal(1, reply.Json.GetProperty("usage").Number("completion_tokens"));
    }

    [Fact]
    public async Task Chat_BeyondTheContext_EndsByLength()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/v1/chat/completions", Chat("hello", "\"max_tokens\":5000"), Cancellation);

        Assert.Equal("length", reply.Json.GetProperty("choices")[0].Text("finish_reason"));
        Assert.InRange(reply.Json.GetProperty("usage").Number("total_tokens"), BackendFixture.SlotContext - 1, BackendFixture.SlotContext + 1);
    }

    [Fact]
    public async Task Completions_NotStreamed_AreOneObject()
    {
        var backend = await SharedAsync();

        var one = (await backend.PostAsync("/v1/completions", """{"prompt":"hello world","max_tokens":3}""", Cancellation)).Json;
        var two = (await backend.PostAsync("/v1/completions", """{"prompt":["hello world","the time"],"max_tokens":3}""", Cancellation)).Json;

        Assert.Equal("choices created model system_fingerprint object usage id timings", one.Members());
        Assert.Equal("text index logprobs finish_reason", one.GetProperty("choices")[0].Members());
        Assert.Equal("text_completion", one.Text("object"));
        Assert.Equal([0, 1], two.GetProperty("choices").EnumerateArray().Select(c => c.Number("index")));
    }

    [Fact]
    public async Task Completions_Streamed_HaveUsageInTheLastEvent()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/v1/completions", """{"prompt":"hello world","max_tokens":3,"stream":true}""", Cancellation);

        Assert.Equal("[DONE]", reply.Events[^1].Data);
        var events = reply.Events.SkipLast(1).Select(e => e.Json()).ToList();
        Assert.Equal(4, events.Count);
        Assert.All(events.SkipLast(1), e => Assert.Equal("choices created model system_fingerprint object id", e.Members()));
        Assert.Equal("choices created model system_fingerprint object usage id timings", events[^1].Members());
        Assert.Equal("{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}", events[^1].GetProperty("choices")[0].GetRawText());
    }

    [Theory]
    [InlineData("/completion")]
    [InlineData("/completions")]
    public async Task NativeCompletion_NotStreamed_TellsItsSlot(string path)
    {
        var backend = await SharedAsync();

        var one = (await backend.PostAsync(path, """{"prompt":"hello world","n_predict":3,"id_slot":7}""", Cancellation)).Json;
        var two = (await backend.PostAsync(path, """{"prompt":["hello world","a"],"n_predict":2}""", Cancellation)).Json;

        Assert.Equal(
            "index content tokens id_slot stop model tokens_predicted tokens_evaluated generation_settings prompt has_new_line truncated stop_type stopping_word tokens_cached timings",
            one.Members());
        Assert.Equal(1, one.Number("id_slot"));
        Assert.Equal("limit", one.Text("stop_type"));
        Assert.Equal(one.Number("tokens_evaluated") + 2, one.Number("tokens_cached"));
        Assert.Equal("<s> hello world", one.Text("prompt").Replace("<s>h", "<s> h", StringComparison.Ordinal));
        Assert.Equal([0, 1], two.EnumerateArray().Select(c => c.Number("index")));
    }

    [Fact]
    public async Task NativeCompletion_Streamed_EndsWithoutDone()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/completion", """{"prompt":"hello world","n_predict":3,"stream":true}""", Cancellation);

        var events = reply.Events.Select(e => e.Json()).ToList();
        Assert.Equal(4, events.Count);
        Assert.All(events.SkipLast(1), e => Assert.Equal("index content tokens stop id_slot tokens_predicted tokens_evaluated", e.Members()));
        Assert.All(events.SkipLast(1), e => Assert.Equal(-1, e.Number("id_slot")));
        Assert.True(events[^1].GetProperty("stop").GetBoolean());
        Assert.Empty(events[^1].Text("content"));
        Assert.EndsWith(" timings", events[^1].Members(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Messages_NotStreamed_CountCachedInputApart()
    {
        var backend = await SharedAsync();
        var count = await backend.PostAsync("/v1/messages/count_tokens", Chat("hello world"), Cancellation);

        var reply = (await backend.PostAsync("/v1/messages", Chat("hello world", "\"max_tokens\":3"), Cancellation)).Json;

        Assert.Equal("id type role content model stop_reason stop_sequence usage", reply.Members());
        Assert.Equal("max_tokens", reply.Text("stop_reason"));
        Assert.Equal("cache_read_input_tokens input_tokens output_tokens", reply.GetProperty("usage").Members());
        Assert.Equal(
            count.Json.Number("input_tokens"),
            reply.GetProperty("usage").Number("cache_read_input_tokens") + reply.GetProperty("usage").Number("input_tokens"));
    }

    [Fact]
    public async Task Messages_Streamed_HaveTheirEvents()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/v1/messages", Chat("hello world", "\"stream\":true,\"max_tokens\":2"), Cancellation);

        Assert.Equal(
            [
                "message_start type message", "content_block_start type index content_block", "content_block_delta type index delta",
                "content_block_delta type index delta", "content_block_stop type index", "message_delta type delta usage", "message_stop type",
            ],
            reply.Events.Select(e => $"{e.Name} {e.Json().Members()}"));
        Assert.Equal("id type role content model stop_reason stop_sequence usage", reply.Events[0].Json().GetProperty("message").Members());
        Assert.Equal("{\"output_tokens\":2}", reply.Events[^2].Json().GetProperty("usage").GetRawText());
    }

    [Fact]
    public async Task Responses_NotStreamed_AreOneObject()
    {
        var backend = await SharedAsync();

        var reply = (await backend.PostAsync("/v1/responses", """{"input":"hello world","max_output_tokens":3}""", Cancellation)).Json;

        Assert.Equal("completed_at created_at id model object output status usage", Sorted(reply));
        Assert.Equal("content id role status type", Sorted(reply.GetProperty("output")[0]));
        Assert.Equal("type annotations logprobs text", reply.GetProperty("output")[0].GetProperty("content")[0].Members());
        Assert.Equal("input_tokens output_tokens total_tokens input_tokens_details", reply.GetProperty("usage").Members());
    }

    [Fact]
    public async Task Responses_Streamed_HaveTheirEvents()
    {
        var backend = await SharedAsync();

        var reply = await backend.PostAsync("/v1/responses", """{"input":"hello world","max_output_tokens":2,"stream":true}""", Cancellation);

        Assert.Equal(
            [
                "response.created type response", "response.in_progress type response", "response.output_item.added type item",
                "response.content_part.added type item_id part", "response.output_text.delta type item_id delta", "response.output_text.delta type item_id delta",
                "response.output_text.done type item_id text", "response.content_part.done type item_id part", "response.output_item.done type item",
                "response.completed type response timings",
            ],
            reply.Events.Select(e => $"{e.Name} {e.Json().Members()}"));
        Assert.Equal("id object created_at status model output usage", reply.Events[^1].Json().GetProperty("response").Members());
    }

    [Fact]
    public async Task Tokens_GoThereAndBack()
    {
        var backend = await SharedAsync();

        var tokens = (await backend.PostAsync("/tokenize", """{"content":"hello world, Grüße 42"}""", Cancellation)).Json.GetProperty("tokens");
        var pieces = (await backend.PostAsync("/tokenize", """{"content":"hello world","with_pieces":true}""", Cancellation)).Json.GetProperty("tokens");
        var text = (await backend.PostAsync("/detokenize", $$"""{"tokens":{{tokens.GetRawText()}}}""", Cancellation)).Json.Text("content");

        Assert.Equal("hello world, Grüße 42", text.TrimStart());
        Assert.Equal("id piece", pieces[0].Members());
        Assert.Equal("hello world", string.Concat(pieces.EnumerateArray().Select(p => p.Text("piece"))).TrimStart());
    }

    [Fact]
    public async Task Counts_AgreeWithUsage()
    {
        var backend = await SharedAsync();

        var chat = (await backend.PostAsync("/v1/chat/completions/input_tokens", Chat("hello world"), Cancellation)).Json;
        var messages = (await backend.PostAsync("/v1/messages/count_tokens", Chat("hello world"), Cancellation)).Json;
        var responses = (await backend.PostAsync("/v1/responses/input_tokens", """{"input":"hello world"}""", Cancellation)).Json;
        var template = (await backend.PostAsync("/apply-template", Chat("hello world"), Cancellation)).Json;
        var answer = (await backend.PostAsync("/v1/chat/completions", Chat("hello world", "\"max_tokens\":1"), Cancellation)).Json;

        Assert.Equal("input_tokens object", chat.Members());
        Assert.Equal("response.input_tokens", chat.Text("object"));
        Assert.Equal("input_tokens", messages.Members());
        Assert.Equal("<|user|>\nhello world\n<|assistant|>\n", template.Text("prompt"));
        var prompt = answer.GetProperty("usage").Number("prompt_tokens");
        Assert.Equal((prompt, prompt, prompt), (chat.Number("input_tokens"), messages.Number("input_tokens"), responses.Number("input_tokens")));
    }

    [Fact]
    public async Task Embeddings_WhenEnabled_AreVectors()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "2", "-c", "4096", "-t", "1", "--embeddings", "--pooling", "mean");

        var list = (await backend.PostAsync("/v1/embeddings", """{"model":"asked","input":["hello world","a"]}""", Cancellation)).Json;
        var base64 = (await backend.PostAsync("/v1/embeddings", """{"input":"a","encoding_format":"base64"}""", Cancellation)).Json;
        var native = (await backend.PostAsync("/embedding", """{"content":"hello world"}""", Cancellation)).Json;
        var tooLong = await backend.PostAsync("/v1/embeddings", $$"""{"input":"{{string.Join(' ', Enumerable.Repeat("time", 600))}}"}""", Cancellation);
        var missing = await backend.PostAsync("/v1/embeddings", "{}", Cancellation);
        var chat = await backend.PostAsync("/v1/chat/completions", Chat("hi", "\"max_tokens\":1"), Cancellation);

        Assert.Equal("model object usage data", list.Members());
        Assert.Equal("asked", list.Text("model"));
        Assert.Equal("embedding index object", list.GetProperty("data")[1].Members());
        Assert.Equal(1, list.GetProperty("data")[1].Number("index"));
        Assert.Equal(1, list.GetProperty("data")[0].GetProperty("embedding").EnumerateArray().Sum(v => v.GetDouble() * v.GetDouble()), 3);
        Assert.Equal("embedding index object encoding_format", base64.GetProperty("data")[0].Members());
        Assert.Equal(JsonValueKind.Array, native[0].GetProperty("embedding")[0].ValueKind);
        Assert.Equal(HttpStatusCode.InternalServerError, tooLong.Status);
        Assert.Contains("is too large to process. increase the physical batch size (current batch size: 512)", tooLong.Body, StringComparison.Ordinal);
        Assert.Equal("{\"error\":{\"code\":400,\"message\":\"\\\"input\\\" or \\\"content\\\" must be provided\",\"type\":\"invalid_request_error\"}}", missing.Body);
        Assert.Equal(HttpStatusCode.OK, chat.Status);
    }

    [Fact]
    public async Task Reranking_WhenEnabled_SortsByScore()
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "2", "-c", "4096", "-t", "1", "--rerank");

        var ranked = (await backend.PostAsync("/v1/rerank", """{"query":"a","documents":["hello","the world","time"]}""", Cancellation)).Json;
        var missing = await backend.PostAsync("/rerank", """{"query":"a"}""", Cancellation);

        Assert.Equal("model object usage results", ranked.Members());
        Assert.Equal("index relevance_score", ranked.GetProperty("results")[0].Members());
        var scores = ranked.GetProperty("results").EnumerateArray().Select(r => r.GetProperty("relevance_score").GetDouble()).ToList();
        Assert.Equal(scores.OrderDescending(), scores);
        Assert.Equal(HttpStatusCode.BadRequest, missing.Status);
    }

    private static string Sorted(JsonElement json) => string.Join(' ', json.EnumerateObject().Select(p => p.Name).Order(StringComparer.Ordinal));
}
