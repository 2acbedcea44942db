using System.Text;
using CsCheck;
using LlmGateway.Gateway.Forwarding;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class TokenUsageTests
{
    [Theory]
    [InlineData("""{"usage":{"completion_tokens":3,"prompt_tokens":7,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":5}}}""", 7, 5, 3)]
    [InlineData("""{"usage":{"prompt_tokens": 7,"completion_tokens": 3}}""", 7, 0, 3)]
    [InlineData("""{"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":5},"output_tokens":3}}""", 7, 5, 3)]
    [InlineData("""{"usage":{"cache_read_input_tokens":5,"input_tokens":2,"output_tokens":3}}""", 7, 5, 3)]
    [InlineData("""{"timings":{"cache_n":5,"prompt_n":2,"prompt_ms":1.5,"predicted_n":3}}""", 7, 5, 3)]
    public void Find_EachApi_IsRead(string json, long prompt, long cached, long completion) =>
        Assert.Equal(new TokenUsage(prompt, cached, completion), TokenUsage.Find(Encoding.UTF8.GetBytes(json), null));

    [Theory]
    [InlineData("")]
    [InlineData("data: {\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":7}\"}")]
    [InlineData("{\"usage\":null}")]
    [InlineData("{\"usage\":{}}")]
    [InlineData("{\"usage\":{\"prompt_tokens\":\"7\"}}")]
    [InlineData("{\"usage\":{\"prompt_tokens\":-7}}")]
    [InlineData("{\"timings\":{\"prompt_n\":7}}")]
    public void Find_NoUsage_LeavesWhatIsKnown(string text)
    {
        var known = new TokenUsage(1, 2, 3);
        Assert.Same(known, TokenUsage.Find(Encoding.UTF8.GetBytes(text), known));
        Assert.Null(TokenUsage.Find(Encoding.UTF8.GetBytes(text), null));
    }

    [Fact]
    public void Find_AnthropicStream_KeepsThePromptOfTheFirstEvent()
    {
        var known = TokenUsage.Find("""data: {"message":{"usage":{"cache_read_input_tokens":5,"input_tokens":2,"output_tokens":1}}}"""u8, null);
        Assert.Equal(new TokenUsage(7, 5, 3), TokenUsage.Find("""data: {"usage":{"output_tokens":3}}"""u8, known));
    }

    [Fact]
    public void Find_UsageAndTimings_UsageCounts() =>
        Assert.Equal(new TokenUsage(7, 0, 3), TokenUsage.Find("""{"timings":{"prompt_n":1,"predicted_n":1},"usage":{"prompt_tokens":7,"completion_tokens":3}}"""u8, null));

    private static readonly Gen<string> Fragment = Gen.OneOf(
        Gen.OneOf(
            "\"usage\":{", "\"timings\":{", "\"prompt_tokens\":", "\"input_tokens\":", "\"cache_read_input_tokens\":", "\"cached_tokens\":", "\"completion_tokens\":", "\"output_tokens\":",
            "\"prompt_n\":", "\"predicted_n\":", "\"cache_n\":", "9223372036854775807", "9223372036854775808", "99999999999999999999999", ",", " ", "}", "-"),
        Gen.Int.Select(number => number.ToString(System.Globalization.CultureInfo.InvariantCulture)));

    [Fact]
    public void Find_HostileNumbers_NeverThrowsAndStaysBounded() => Fragment.Array[0, 30].Sample(
        parts => TokenUsage.Find(Encoding.UTF8.GetBytes(string.Concat(parts)), null) is not { } usage || (usage.Prompt >= 0 && usage.Cached >= 0 && usage.Completion >= 0
            && usage.Prompt <= 1L << 50 && usage.Cached <= 1L << 50 && usage.Completion <= 1L << 50),
        iter: 20_000);

    [Fact]
    public void Find_AnyBytes_NeverThrows() => Gen.Byte.Array[0, 300].Sample(bytes => _ = TokenUsage.Find(bytes, null));
}
