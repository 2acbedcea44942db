using System.Text;
using LlmGateway.LoadTests.Client;

namespace LlmGateway.LoadTests.Tests.Client;

public sealed class AnswerFactsTests
{
    [Theory]
    [InlineData("""{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"id":"x"}""", "", false, false)]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":" the"},"finish_reason":null}],"system_fingerprint":"b1-simulator"}""", " the", true, false)]
    [InlineData("""{"choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens_details":{"completion_tokens":9},"completion_tokens":4}}""", "", false, true)]
    [InlineData("""{"choices":[{"text":"a\"é","index":0,"logprobs":{"content":[1]},"finish_reason":"stop"},{"text":"other"}]}""", "a\"é", true, true)]
    [InlineData("""{"choices":[{"delta":{"reasoning_content":"hm"}}]}""", "", true, false)]
    [InlineData("""{"choices":[]}""", "", false, false)]
    public void TryRead_ChunksOfManyShapes_FindsTheFirstChoice(string json, string content, bool hasToken, bool hasFinish)
    {
        var bytes = Encoding.UTF8.GetBytes(json);

        Assert.True(AnswerFacts.TryRead(bytes, out var facts));

        Assert.Equal((content, hasToken, hasFinish), (Encoding.UTF8.GetString(facts.Content(bytes)), facts.HasToken, facts.HasFinish));
        Assert.Equal(json.Contains("simulator", StringComparison.Ordinal), facts.IsSimulated);
        Assert.Equal(json.Contains("usage", StringComparison.Ordinal) ? 4 : null, facts.CompletionTokens);
    }

    [Theory]
    [InlineData("""{"error":{"message":"m","type":"t","code":"queue_full","param":null}}""", "queue_full")]
    [InlineData("""{"error":{"message":"m","type":"t","code":null}}""", "t")]
    [InlineData("""{"error":{"code":503,"message":{"deep":[1,2]}}}""", "503")]
    [InlineData("""{"error":"bare"}""", null)]
    public void TryRead_Errors_FindsTheCode(string json, string? code)
    {
        Assert.True(AnswerFacts.TryRead(Encoding.UTF8.GetBytes(json), out var facts));
        Assert.True(facts.HasError);
        Assert.Equal(code, facts.ErrorCode);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[1]")]
    [InlineData("""{"choices":[{"delta":{"content":"a"}}]""")]
    [InlineData("""{"choices":[]}{}""")]
    public void TryRead_NoWholeObject_IsFalse(string json) => Assert.False(AnswerFacts.TryRead(Encoding.UTF8.GetBytes(json), out _));
}
