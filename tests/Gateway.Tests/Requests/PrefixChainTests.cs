using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class PrefixChainTests
{
    private static readonly string Long = string.Concat(Enumerable.Range(0, 800).Select(i => $"word {i} "));

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    [Fact]
    public void Chat_NextTurn_BeginsWithTheLastOne()
    {
        var first = Chain(new { model = "m", messages = new[] { Message("system", Long), Message("user", "hello") } });
        var next = Chain(new { model = "m", messages = new[] { Message("system", Long), Message("user", "hello"), Message("assistant", "hi"), Message("user", "more") }, stream = true });
        Assert.Equal(first.Length + 2, next.Length);
        Assert.Equal(first, next[..first.Length]);
    }

    [Fact]
    public void Chat_OtherSpacing_IsTheSame()
    {
        var body = new { messages = new[] { Message("system", Long), Message("user", "hello") } };
        var spaced = JsonSerializer.Serialize(body, Indented);
        Assert.Equal(Chain(body), PrefixChain.Of(Encoding.UTF8.GetBytes(spaced)));
    }

    [Fact]
    public void Chat_SameDocumentOtherQuestion_SharesTheDocument()
    {
        var a = Chain(new { messages = new[] { Message("user", Long + " what?") } });
        var b = Chain(new { messages = new[] { Message("user", Long + " why?") } });
        Assert.Equal(a[..^1], b[..^1]);
        Assert.NotEqual(a[^1], b[^1]);
        Assert.True(a[^2].Bytes > Long.Length - 1024);
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"hello"}],"tools":[{"a":1}]}""")]
    [InlineData("""{"system":"be brief","messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"hello"}],"instructions":"be brief"}""")]
    [InlineData("""{"messages":[{"role":"user","content":"hello!"}]}""")]
    [InlineData("""{"messages":[{"role":"system","content":"hello"}]}""")]
    [InlineData("""{"prompt":"hello"}""")]
    public void OtherBeginning_IsAnother(string body) =>
        Assert.Empty(PrefixChain.Of(Encoding.UTF8.GetBytes(body)).Intersect(PrefixChain.Of("""{"messages":[{"role":"user","content":"hello"}]}"""u8)));

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"model":"m","n":1}""")]
    [InlineData("""{"messages":[]}""")]
    public void NoPrompt_IsEmpty(string body) => Assert.Empty(PrefixChain.Of(Encoding.UTF8.GetBytes(body)));

    [Fact]
    public void LongText_KeepsTheFirstAndTheLastLinks()
    {
        var chain = Chain(new { prompt = new string('x', 200_000) });
        Assert.Equal(32, chain.Length);
        Assert.Equal((1024, 200_000), (chain[0].Bytes, chain[^1].Bytes));
        Assert.True(chain.SequenceEqual(chain.OrderBy(link => link.Bytes)));
    }

    [Fact]
    public void Session_OfAnotherKey_IsAnother()
    {
        Assert.Equal(PrefixChain.OfSession("a", "1"), PrefixChain.OfSession("a", "1"));
        Assert.NotEqual(PrefixChain.OfSession("a", "1"), PrefixChain.OfSession("b", "1"));
    }

    private static object Message(string role, string content) => new { role, content };

    private static ImmutableArray<PrefixLink> Chain(object body) => PrefixChain.Of(JsonSerializer.SerializeToUtf8Bytes(body));
}
