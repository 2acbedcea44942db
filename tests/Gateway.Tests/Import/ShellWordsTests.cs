using LlmGateway.Gateway.Import;

namespace LlmGateway.Gateway.Tests.Import;

public sealed class ShellWordsTests
{
    [Theory]
    [InlineData("a b  c", "a|b|c")]
    [InlineData("a 'b c' \"d e\"", "a|b c|d e")]
    [InlineData("a\\ b c", "a b|c")]
    [InlineData("a \\\n  b \\\r\n c", "a|b|c")]
    [InlineData("# first\na # rest\n--x=1#2", "a|--x=1#2")]
    [InlineData("'{\"a\": \"b\"}'", "{\"a\": \"b\"}")]
    [InlineData("\"say \\\"hi\\\"\" ''", "say \"hi\"|")]
    [InlineData("x'y'z", "xyz")]
    [InlineData("", "")]
    public void Split_AsAShellWould(string text, string expected) =>
        Assert.Equal(expected.Length == 0 ? [] : expected.Split('|'), ShellWords.Split(text));

    [Fact]
    public void Split_QuoteNotClosed_SaysWhere() =>
        Assert.Contains("'b c", Assert.Throws<ImportException>(() => ShellWords.Split("a 'b c")).Message, StringComparison.Ordinal);
}
