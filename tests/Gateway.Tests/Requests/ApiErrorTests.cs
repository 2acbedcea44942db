using System.Text.Json;
using LlmGateway.Gateway.Requests;
using Microsoft.AspNetCore.Http;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class ApiErrorTests
{
    private static readonly string[] AnthropicTypes =
        ["invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large", "rate_limit_error", "api_error", "overloaded_error"];

    private static readonly ApiError[] All =
    [
        ApiErrors.InvalidJson("line 1"), ApiErrors.MissingModel, ApiErrors.InvalidParameter("n", "is wrong"), ApiErrors.InvalidKey, ApiErrors.ModelNotAllowed("m"),
        ApiErrors.OriginNotAllowed, ApiErrors.ModelNotFound, ApiErrors.UnknownEndpoint, ApiErrors.NotOffered("m"), ApiErrors.MethodNotAllowed, ApiErrors.BodyTooLarge(5),
        ApiErrors.UnsupportedEncoding, ApiErrors.HostNotAllowed, ApiErrors.RequestQuarantined, ApiErrors.QueueFull(TimeSpan.FromSeconds(1)),
        ApiErrors.QueueTimeout(TimeSpan.FromSeconds(1)), ApiErrors.ConcurrencyLimited(TimeSpan.FromSeconds(1)), ApiErrors.BackendFailed,
        ApiErrors.NoBackend(TimeSpan.FromSeconds(1)), ApiErrors.ModelLoadingFailed(TimeSpan.FromSeconds(1)), ApiErrors.ShuttingDown, ApiErrors.BackendTimeout,
    ];

    [Fact]
    public void ToJson_OpenAi_HasItsFourFields() => Assert.All(All, error =>
    {
        using var json = JsonDocument.Parse(error.ToJson(ApiDialect.OpenAi, "req-1"));
        Assert.Equal(["error"], json.RootElement.EnumerateObject().Select(member => member.Name));
        var body = json.RootElement.GetProperty("error");
        Assert.Equal(["message", "type", "code", "param"], body.EnumerateObject().Select(member => member.Name));
        Assert.Equal((error.Message, error.Code, error.Param), (body.GetProperty("message").GetString(), body.GetProperty("code").GetString(), body.GetProperty("param").GetString()));
    });

    [Fact]
    public void ToJson_Anthropic_HasItsShape() => Assert.All(All, error =>
    {
        using var json = JsonDocument.Parse(error.ToJson(ApiDialect.Messages, "req-1"));
        Assert.Equal("error", json.RootElement.GetProperty("type").GetString());
        Assert.Equal("req-1", json.RootElement.GetProperty("request_id").GetString());
        Assert.Contains(
            json.RootElement.GetProperty("error").GetProperty("type").GetString(),
            AnthropicTypes);
    });

    [Fact]
    public void RetryAfter_ContentionAndNoCapacity_AlwaysSayWhen() => Assert.All(
        All.Where(error => error.Status is 429 or 503), error => Assert.InRange(error.RetryAfter!.Value.TotalSeconds, 1, 30));

    [Fact]
    public async Task WriteAsync_RetryAfter_IsRoundedUpInSecondsAndExactInMilliseconds()
    {
        var context = new DefaultHttpContext();
        context.Response.Body = new MemoryStream();
        await ApiErrorWriter.WriteAsync(context, ApiErrors.QueueFull(TimeSpan.FromMilliseconds(1234.5)), ApiDialect.OpenAi, "req-1");
        Assert.Equal((429, "2", "1235", "req-1"), (
            context.Response.StatusCode, context.Response.Headers.RetryAfter.ToString(), context.Response.Headers["retry-after-ms"].ToString(), context.Response.Headers["x-request-id"].ToString()));
        Assert.Equal(context.Response.ContentLength, context.Response.Body.Length);
    }

    [Fact]
    public async Task WriteAsync_Head_HasNoBody()
    {
        var context = new DefaultHttpContext();
        context.Request.Method = "HEAD";
        context.Response.Body = new MemoryStream();
        await ApiErrorWriter.WriteAsync(context, ApiErrors.ModelNotFound, ApiDialect.OpenAi, "req-1");
        Assert.Equal((404, 0), (context.Response.StatusCode, context.Response.Body.Length));
    }

    [Theory]
    [InlineData("/v1/messages", ApiDialect.Messages)]
    [InlineData("/v1/messages/count_tokens", ApiDialect.Messages)]
    [InlineData("/v1/messagesx", ApiDialect.OpenAi)]
    [InlineData("/v1/chat/completions", ApiDialect.OpenAi)]
    [InlineData("/", ApiDialect.OpenAi)]
    public void DialectOf_Path_IsTheApisOwn(string path, object dialect) => Assert.Equal(dialect, (object)ApiErrorWriter.DialectOf(path));

    [Fact]
    public void OutcomeOf_EveryError_IsARefusalOfSomeKind() => Assert.All(All, error =>
        Assert.NotEqual(RequestOutcome.Ok, RequestMetrics.OutcomeOf(error)));
}
