using CsCheck;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class RequestIdTests
{
    [Theory]
    [InlineData("a")]
    [InlineData("req_1.2:3-4")]
    [InlineData("0192f3a5-7c1e-7000-8000-000000000000")]
    public void From_HarmlessId_IsKept(string id) => Assert.Equal(id, RequestId.From(id));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("a b")]
    [InlineData("a\r\nSet-Cookie: x")]
    [InlineData("a\n")]
    [InlineData("a/b")]
    [InlineData("a,b")]
    [InlineData("\u001b[2J")]
    [InlineData("ä")]
    [InlineData("\u202e")]
    [InlineData("<script>")]
    public void From_AnythingElse_IsReplaced(string? id) => Assert.StartsWith("req-", RequestId.From(id), StringComparison.Ordinal);

    [Fact]
    public void From_Length_UpTo128()
    {
        Assert.Equal(new string('a', 128), RequestId.From(new string('a', 128)));
        Assert.NotEqual(new string('a', 129), RequestId.From(new string('a', 129)));
    }

    [Fact]
    public void From_Anything_IsAlwaysAnIdThatIsKept() => Gen.String.Sample(text => RequestId.From(text) is var id && RequestId.From(id) == id);
}
