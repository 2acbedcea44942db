using System.Net;
using System.Text.Json;
using Anthropic;
using Anthropic.Exceptions;
using Anthropic.Models.Messages;
using LlmGateway.EndToEnd.Tests.Gateways;

namespace LlmGateway.EndToEnd.Tests.Sdks;

/// <summary>What a client with Anthropic's own .NET SDK sees.</summary>
[Collection(nameof(SdkGatewayUsers))]
[Trait("Suite", "Real")]
public sealed class AnthropicDotNetTests
{
    private const int Limit = 60_000;

    private readonly SdkGateway _sdk;

    public AnthropicDotNetTests(SdkGateway sdk)
    {
        RealServer.SkipIfAbsent();
        _sdk = sdk;
    }

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Models_List_NamesTheConfiguredOnes()
    {
        using var client = Client();
        var page = await client.Models.List(null, Ct);
        Assert.Contains(SdkGateway.Model, page.Items.Select(model => model.ID));
        Assert.All(page.Items, model => Assert.NotEqual(default, model.CreatedAt));
    }

    [Fact(Timeout = Limit)]
    public async Task Message_Whole_HasTextAndUsage()
    {
        using var client = Client();
        var message = await client.Messages.Create(Ask(SdkGateway.Model, 8), Ct);
        Assert.True(message.Content[0].TryPickText(out var text));
        Assert.NotEmpty(text.Text);
        Assert.InRange(message.Usage.OutputTokens, 1, 8);
    }

    [Fact(Timeout = Limit)]
    public async Task Message_Streamed_ComesInPieces()
    {
        using var client = Client();
        Assert.NotEmpty(await ReadAsync(client, SdkGateway.Model));
    }

    [Fact(Timeout = Limit)]
    public async Task CountTokens_Counts()
    {
        using var client = Client();
        var count = await client.Messages.CountTokens(new MessageCountTokensParams { Model = SdkGateway.Model, Messages = [new UserMessageParam("the water")] }, Ct);
        Assert.True(count.InputTokens > 0);
    }

    [Fact(Timeout = Limit)]
    public async Task Tools_ReachTheModelAndItsCallComesBack()
    {
        using var client = Client();
        var message = await client.Messages.Create(
            Ask(SdkGateway.Tools, 100) with
            {
                Tools = [new Tool { Name = "weather", InputSchema = new() { Properties = new Dictionary<string, JsonElement> { ["city"] = JsonSerializer.SerializeToElement(new { type = "string" }) } } }],
            },
            Ct);
        Assert.True(message.Content[0].TryPickToolUse(out var use));
        Assert.Equal(("weather", "Zürich"), (use.Name, use.Input["city"].GetString()));
    }

    [Fact(Timeout = Limit)]
    public async Task Stream_ThatBreaks_IsAnException()
    {
        using var client = Client();
        var error = await Assert.ThrowsAnyAsync<AnthropicException>(() => ReadAsync(client, SdkGateway.Breaking));
        Assert.IsNotType<AnthropicIOException>(error);
    }

    [Fact(Timeout = Limit)]
    public async Task Retries_WaitAsTheGatewaySaysAndAreAnswered()
    {
        using var holder = _sdk.Gateway.WithKey(SdkGateway.Key);
        using var held = await holder.StreamAsync(SdkGateway.Busy, 20, Ct);
        using var client = Client(retries: 5);
        var answering = client.Messages.Create(Ask(SdkGateway.Busy, 1), Ct);
        await held.ReadToEndAsync(Ct);
        Assert.NotEmpty((await answering).Content);
    }

    [Theory(Timeout = Limit)]
    [InlineData("sk-wrong", SdkGateway.Model, HttpStatusCode.Unauthorized)]
    [InlineData(SdkGateway.Key, "no-such-model", HttpStatusCode.NotFound)]
    [InlineData(SdkGateway.Key, SdkGateway.Saturated, HttpStatusCode.TooManyRequests)]
    public async Task Refusal_IsATypedErrorWithItsStatus(string key, string model, HttpStatusCode status)
    {
        using var client = Client(key);
        var error = await Assert.ThrowsAnyAsync<AnthropicApiException>(() => client.Messages.Create(Ask(model, 1), Ct));
        Assert.Equal(status, error.StatusCode);
        Assert.NotNull(error.RequestID);
    }

    private static MessageCreateParams Ask(string model, int maxTokens) =>
        new() { Model = model, MaxTokens = maxTokens, Messages = [new UserMessageParam("the water and the light")] };

    private static async Task<string> ReadAsync(AnthropicClient client, string model)
    {
        var text = "";
        await foreach (var part in client.Messages.CreateStreaming(Ask(model, 8), Ct))
        {
            if (part.TryPickContentBlockDelta(out var delta) && delta.Delta.TryPickText(out var piece))
            {
                text += piece.Text;
            }
        }

        return text;
    }

    // No retries unless asked for: a test must see the gateway's first answer.
    private AnthropicClient Client(string key = SdkGateway.Key, int retries = 0) =>
        new() { ApiKey = key, BaseUrl = _sdk.Gateway.DataUrl.AbsoluteUri.TrimEnd('/'), MaxRetries = retries };
}
