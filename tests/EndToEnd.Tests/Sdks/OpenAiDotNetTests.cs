using System.ClientModel;
using System.ClientModel.Primitives;
using LlmGateway.EndToEnd.Tests.Gateways;
using OpenAI;
using OpenAI.Chat;

namespace LlmGateway.EndToEnd.Tests.Sdks;

/// <summary>What a client with OpenAI's own .NET SDK sees.</summary>
[Collection(nameof(SdkGatewayUsers))]
[Trait("Suite", "Real")]
public sealed class OpenAiDotNetTests
{
    private const int Limit = 60_000;

    private static readonly ChatMessage[] Prompt = [new UserChatMessage("the water and the light")];

    private readonly SdkGateway _sdk;

    public OpenAiDotNetTests(SdkGateway sdk)
    {
        RealServer.SkipIfAbsent();
        _sdk = sdk;
    }

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Models_List_NamesTheConfiguredOnes()
    {
        var models = await Client().GetOpenAIModelClient().GetModelsAsync(Ct);
        Assert.Equal([SdkGateway.Model, SdkGateway.Saturated], models.Value.Select(model => model.Id));
        var one = await Client().GetOpenAIModelClient().GetModelAsync(SdkGateway.Model, Ct);
        Assert.Equal(SdkGateway.Model, one.Value.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task Chat_Whole_HasTextAndUsage()
    {
        var answer = await Client().GetChatClient(SdkGateway.Model).CompleteChatAsync(Prompt, new ChatCompletionOptions { MaxOutputTokenCount = 8 }, Ct);
        Assert.NotEmpty(answer.Value.Content[0].Text);
        Assert.InRange(answer.Value.Usage.OutputTokenCount, 1, 8);
        Assert.Contains(answer.Value.FinishReason, new[] { ChatFinishReason.Stop, ChatFinishReason.Length });
    }

    [Fact(Timeout = Limit)]
    public async Task Chat_Streamed_EndsWithAReason()
    {
        var text = "";
        ChatFinishReason? reason = null;
        await foreach (var update in Client().GetChatClient(SdkGateway.Model).CompleteChatStreamingAsync(Prompt, new ChatCompletionOptions { MaxOutputTokenCount = 8 }, Ct))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            reason = update.FinishReason ?? reason;
        }

        Assert.NotEmpty(text);
        Assert.NotNull(reason);
    }

    [Fact(Timeout = Limit)]
    public async Task Embeddings_OneVectorForEachInput()
    {
        var answer = await Client().GetEmbeddingClient(SdkGateway.Model).GenerateEmbeddingsAsync(["the water", "the server"], cancellationToken: Ct);
        Assert.Equal([0, 1], answer.Value.Select(embedding => embedding.Index));
        Assert.All(answer.Value, embedding => Assert.True(embedding.ToFloats().Length >= 8));
    }

    [Theory(Timeout = Limit)]
    [InlineData("sk-wrong", SdkGateway.Model, 401)]
    [InlineData(SdkGateway.Key, "no-such-model", 404)]
    [InlineData(SdkGateway.Key, SdkGateway.Saturated, 429)]
    public async Task Refusal_IsATypedErrorWithItsStatus(string key, string model, int status)
    {
        var chat = Client(key).GetChatClient(model);
        var whole = await Assert.ThrowsAsync<ClientResultException>(() => chat.CompleteChatAsync(Prompt, cancellationToken: Ct));
        Assert.Equal(status, whole.Status);
        var streamed = await Assert.ThrowsAsync<ClientResultException>(async () => await chat.CompleteChatStreamingAsync(Prompt, cancellationToken: Ct).AnyAsync(Ct));
        Assert.Equal(status, streamed.Status);
        if (status == 429)
        {
            Assert.True(whole.GetRawResponse()!.Headers.TryGetValue("retry-after", out _));
        }
    }

    // No retries: a test must see the gateway's first answer.
    private OpenAIClient Client(string key = SdkGateway.Key) => new(
        new ApiKeyCredential(key),
        new OpenAIClientOptions { Endpoint = new Uri(_sdk.Gateway.DataUrl, "v1"), RetryPolicy = new ClientRetryPolicy(maxRetries: 0) });
}
