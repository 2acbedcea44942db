using System.Text;
using CsCheck;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class BackendRefusalTests
{
    private const string Overflow = """{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":9}}""";

    [Theory]
    [InlineData(400, true)]
    [InlineData(404, true)]
    [InlineData(413, true)]
    [InlineData(422, true)]
    [InlineData(401, false)]
    [InlineData(403, false)]
    [InlineData(407, false)]
    [InlineData(429, false)]
    [InlineData(301, false)]
    [InlineData(500, false)]
    [InlineData(503, false)]
    public void Presentable_ProperErrorBody_ByStatus(int status, bool passes) =>
        Assert.Equal(passes ? Overflow : null, BackendRefusal.Presentable(status, Encoding.UTF8.GetBytes(Overflow)) is { } body ? Encoding.UTF8.GetString(body) : null);

    [Theory]
    [InlineData("")]
    [InlineData("Not Found")]
    [InlineData("<html>")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"error":"text"}""")]
    [InlineData("""{"error":{}}""")]
    [InlineData("""{"error":{"message":"x"}""")]
    [InlineData("""{"error":{"message":"x"}} trailing""")]
    [InlineData("""{"\ud800":{"message":"x"}}""")]
    public void Presentable_AnyOtherBody_IsNot(string body) => Assert.Null(BackendRefusal.Presentable(400, Encoding.UTF8.GetBytes(body)));

    [Theory]
    [InlineData("""{"error":{"message":"too long","type":"exceed_context_size_error"}}""", """{"type":"error","error":{"type":"invalid_request_error","message":"too long"},"request_id":"req-1"}""")]
    [InlineData("""{"error":{"message":"\ud800"}}""", """{"type":"error","error":{"type":"invalid_request_error","message":"The backend refused the request."},"request_id":"req-1"}""")]
    [InlineData("""{"type":"error","error":{"message":"own"}}""", """{"type":"error","error":{"message":"own"}}""")]
    public void InShapeOf_Messages_IsAnthropics(string body, string expected)
    {
        Assert.Equal(expected, Encoding.UTF8.GetString(BackendRefusal.InShapeOf(ApiDialect.Messages, 400, Encoding.UTF8.GetBytes(body), "req-1")));
        Assert.Equal(body, Encoding.UTF8.GetString(BackendRefusal.InShapeOf(ApiDialect.OpenAi, 400, Encoding.UTF8.GetBytes(body), "req-1")));
    }

    [Fact]
    public void Presentable_AnyBytes_NeverThrows() =>
        Gen.Select(Gen.Int[0, 999], Gen.OneOf(Gen.Byte.Array[0, 100], RandomJson.Text.Select(Encoding.UTF8.GetBytes))).Sample((status, body) => _ = BackendRefusal.Presentable(status, body) is { } passed ? BackendRefusal.InShapeOf(ApiDialect.Messages, status, passed, "req-1") : null);
}
