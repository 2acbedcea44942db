using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class RequestReaderTests
{
    private static readonly InferenceEndpoint Forms = InferenceEndpoint.All.Single(endpoint => endpoint.IsForm);

    private readonly BodyBudget _budget = new(1 << 20);

    [Fact]
    public async Task ReadAsync_ProperRequest_SaysWhatIsAsked()
    {
        var (request, error) = await ReadAsync("""{"model":"b","stream":true,"n":2}""");
        Assert.Null(error);
        using (request)
        {
            Assert.Equal(("b", true, 2, Priority.Normal, "none", "req-9"), (request!.Model.Name, request.Stream, request.Slots, request.Priority, request.Key, request.Id));
        }

        Assert.Equal(0, _budget.Held);
    }

    [Theory]
    [InlineData("""{"model":"nope"}""", 404, "model_not_found")]
    [InlineData("""{"model":"A"}""", 404, "model_not_found")]
    [InlineData("""{}""", 400, "missing_model")]
    [InlineData("""{"model":""}""", 400, "missing_model")]
    [InlineData("""{"model":null}""", 400, "missing_model")]
    [InlineData("""{"model":"a","n":3}""", 400, "invalid_parameter")]
    [InlineData("""{"model":"a""", 400, "invalid_json")]
    public async Task ReadAsync_WrongBody_IsRefusedAndHoldsNothing(string json, int status, string code)
    {
        var (request, error) = await ReadAsync(json);
        Assert.Null(request);
        Assert.Equal((status, code), (error!.Status, error.Code));
        Assert.Equal(0, _budget.Held);
    }

    [Fact]
    public async Task ReadAsync_NoModelAndOnlyOneConfigured_MeansIt()
    {
        var (request, _) = await ReadAsync("{}", options: Configured.Gateway("only"));
        Assert.Equal("only", request!.Model.Name);
    }

    [Theory]
    [InlineData(true, null)]
    [InlineData(false, "invalid_parameter")]
    public async Task ReadAsync_MediaByAddress_PassesUnlessForbidden(bool isAllowed, string? code)
    {
        var options = Configured.Gateway("only") with { Gateway = new DataPlaneOptions { AllowRemoteMedia = isAllowed } };
        var (request, error) = await ReadAsync("""{"messages":[{"content":[{"image_url":{"url":"http://10.0.0.1/"}}]}]}""", options: options);
        using (request)
        {
            Assert.Equal(code, error?.Code);
        }
    }

    [Theory]
    [InlineData("gzip", 415)]
    [InlineData("gzip, identity", 415)]
    [InlineData("Identity", 0)]
    [InlineData("", 0)]
    public async Task ReadAsync_ContentEncoding_OnlyIdentityPasses(string encoding, int status)
    {
        var (_, error) = await ReadAsync("""{"model":"a"}""", context => context.Request.Headers.ContentEncoding = encoding);
        Assert.Equal(status, error?.Status ?? 0);
    }

    [Fact]
    public async Task ReadAsync_AnnouncedTooLarge_Is413BeforeAByteIsRead()
    {
        var (_, error) = await ReadAsync("""{"model":"a"}""", context => context.Request.ContentLength = 33 << 20);
        Assert.Equal((413, "body_too_large"), (error!.Status, error.Code));
    }

    [Fact]
    public async Task ReadAsync_NoRoomForBodies_Is429WithRetryAfter()
    {
        Assert.True(_budget.TryReserve(1 << 20));
        var (_, error) = await ReadAsync("""{"model":"a"}""");
        Assert.Equal((429, "queue_full", TimeSpan.FromSeconds(1)), (error!.Status, error.Code, error.RetryAfter));
    }

    [Theory]
    [InlineData("high", Priority.Normal)]
    [InlineData("normal", Priority.Normal)]
    [InlineData("LOW", Priority.Low)]
    [InlineData("batch", Priority.Batch)]
    public async Task ReadAsync_PriorityHeader_IsNeverAboveTheKeysOwn(string wanted, object expected)
    {
        var caller = new Caller("k", Priority.Normal, Priority.Normal, _ => true);
        var (request, _) = await ReadAsync("""{"model":"a"}""", context => context.Request.Headers["x-llmgateway-priority"] = wanted, caller);
        Assert.Equal(expected, request!.Priority);
    }

    [Theory]
    [InlineData("x-llmgateway-priority", "urgent")]
    [InlineData("x-llmgateway-priority", "0")]
    [InlineData("x-llmgateway-priority", "2")]
    [InlineData("x-llmgateway-priority", "-1")]
    [InlineData("x-llmgateway-priority", "high,low")]
    [InlineData("x-llmgateway-priority", " high")]
    [InlineData("x-llmgateway-timeout-ms", "0")]
    [InlineData("x-llmgateway-timeout-ms", "-5")]
    [InlineData("x-llmgateway-timeout-ms", "1.5")]
    [InlineData("x-llmgateway-timeout-ms", "soon")]
    [InlineData("x-llmgateway-timeout-ms", "99999999999")]
    public async Task ReadAsync_HintThatIsNone_IsRefusedByItsName(string header, string value)
    {
        var (_, error) = await ReadAsync("""{"model":"a"}""", context => context.Request.Headers[header] = value);
        Assert.Equal((400, "invalid_parameter", header), (error!.Status, error.Code, error.Param));
    }

    [Fact]
    public async Task ReadAsync_TimeoutHeader_IsTaken()
    {
        var (request, _) = await ReadAsync("""{"model":"a"}""", context => context.Request.Headers["x-llmgateway-timeout-ms"] = "1500");
        Assert.Equal(TimeSpan.FromMilliseconds(1500), request!.FirstTokenWithin);
    }

    [Fact]
    public async Task ReadAsync_ModelThatTheKeyMayNotUse_Is403()
    {
        var (_, error) = await ReadAsync("""{"model":"a"}""", caller: new Caller("k", Priority.High, Priority.Normal, model => model.Name == "b"));
        Assert.Equal((403, "model_not_allowed"), (error!.Status, error.Code));
    }

    [Fact]
    public async Task ReadAsync_Form_FindsTheModelBehindTheFile()
    {
        var form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n" + new string('a', 20_000)
            + "\r\n--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nb\r\n--x\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--x--\r\n";
        var (request, error) = await ReadAsync(form, context => context.Request.ContentType = "multipart/form-data; boundary=x", endpoint: Forms);
        Assert.Null(error);
        Assert.Equal(("b", true), (request!.Model.Name, request.Stream));
    }

    [Theory]
    [InlineData("application/json", "{}")]
    [InlineData("multipart/form-data", "--x--")]
    [InlineData("multipart/form-data; boundary=\"\"", "--x--")]
    [InlineData("multipart/form-data; boundary=x", "--x\r\nnot a header\r\n\r\n--x--")]
    [InlineData("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=model\r\n\r\nb")]
    [InlineData("multipart/form-data; boundary=x", "")]
    [InlineData(null, "")]
    public async Task ReadAsync_FormThatIsNone_IsRefused(string? contentType, string body)
    {
        var (_, error) = await ReadAsync(body, context => context.Request.ContentType = contentType, endpoint: Forms);
        Assert.Equal(400, error!.Status);
        Assert.Equal(0, _budget.Held);
    }

    [Theory]
    [InlineData("n", "0", 400)]
    [InlineData("n", "two", 400)]
    [InlineData("max_tokens", "-2", 400)]
    [InlineData("max_tokens", "1e3", 400)]
    [InlineData("n_predict", "99999999999999999999", 400)]
    [InlineData("max_tokens", "-1", 0)]
    [InlineData("temperature", "hot", 0)]
    [InlineData("model", "a", 400)]
    [InlineData("model", "nope", 400)]
    public async Task ReadAsync_FieldOfAForm_HasTheBoundsOfABodysAndDoesNotStandTwice(string name, string value, int status)
    {
        var (request, error) = await ReadAsync(Form(("model", "a"), (name, value)), context => context.Request.ContentType = "multipart/form-data; boundary=x", endpoint: Forms);
        using (request)
        {
            Assert.Equal((status, status == 0 ? null : name), (error?.Status ?? 0, error?.Param));
        }
    }

    [Fact]
    public async Task ReadAsync_FormOfAModelWithParameters_IsRewritten()
    {
        var options = Configured.Gateway("a");
        options = options with
        {
            Models = options.Models.ToDictionary(
                pair => pair.Key,
                pair => pair.Value with { StripParams = ["language"], SetParams = new JsonObject { ["model"] = "theirs", ["temperature"] = 0.5, ["max_tokens"] = null } }),
        };
        var form = Form(("model", "a"), ("language", "de"), ("prompt", "ä"), ("max_tokens", "7"));
        var (request, error) = await ReadAsync(form, context => context.Request.ContentType = "multipart/form-data; boundary=\"x\"", endpoint: Forms, options: options);
        Assert.Null(error);
        using (request)
        {
            Assert.Equal(Form(("prompt", "ä"), ("model", "theirs"), ("temperature", "0.5")), Encoding.UTF8.GetString(request!.Body.Bytes.Span));
            Assert.Equal(("a", (int?)null), (request.Model.Name, request.MaxTokens));
        }

        Assert.Equal(0, _budget.Held);
    }

    [Fact]
    public async Task ReadAsync_BoundaryThatStandsInAParameter_IsRefused()
    {
        var options = Configured.Gateway("a");
        options = options with { Models = options.Models.ToDictionary(pair => pair.Key, pair => pair.Value with { SetParams = new JsonObject { ["prompt"] = "one\r\n--x--" } }) };
        var (_, error) = await ReadAsync(Form(("model", "a")), context => context.Request.ContentType = "multipart/form-data; boundary=x", endpoint: Forms, options: options);
        Assert.Equal((400, "Content-Type"), (error!.Status, error.Param));
    }

    private static string Form(params (string Name, string Value)[] fields) =>
        string.Concat(fields.Select(field => $"--x\r\nContent-Disposition: form-data; name=\"{field.Name}\"\r\n\r\n{field.Value}\r\n")) + "--x--\r\n";

    private ValueTask<(InferenceRequest? Request, ApiError? Error)> ReadAsync(
        string body, Action<HttpContext>? change = null, Caller? caller = null, InferenceEndpoint? endpoint = null, GatewayOptions? options = null)
    {
        options ??= Configured.Gateway("a", "b");
        var bytes = Encoding.UTF8.GetBytes(body);
        var context = new DefaultHttpContext();
        context.Request.Body = new MemoryStream(bytes);
        context.Request.ContentLength = bytes.Length;
        change?.Invoke(context);
        endpoint ??= Asked.Chat;
        return new RequestReader(new LiveCatalogue(new ModelCatalogue(options)), _budget, new FakeTimeProvider())
            .ReadAsync(context, endpoint, endpoint.Paths[0], caller ?? Caller.Anonymous, "req-9");
    }
}
