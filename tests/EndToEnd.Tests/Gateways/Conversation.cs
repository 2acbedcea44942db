using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>How a client of the data listener talks: whole answers, and streams event by event.</summary>
internal static class Conversation
{
    private const string Chat = "v1/chat/completions";

    /// <summary>A chat request's body.</summary>
    public static JsonObject ChatBody(string model, int maxTokens, bool stream) => new()
    {
        ["model"] = model,
        ["stream"] = stream,
        ["max_tokens"] = maxTokens,
        ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = "the water and the light" }),
    };

    public static Task<HttpResponseMessage> ChatAsync(this HttpClient client, string model, int maxTokens, CancellationToken cancellationToken) =>
        client.PostAsJsonAsync(Chat, ChatBody(model, maxTokens, stream: false), cancellationToken);

    /// <summary>Asks for a stream; returns when the answer's headers are there.</summary>
    public static Task<StreamedAnswer> StreamAsync(this HttpClient client, string model, int maxTokens, CancellationToken cancellationToken) =>
        client.StreamAsync(Chat, ChatBody(model, maxTokens, stream: true), cancellationToken);

    /// <inheritdoc cref="StreamAsync(HttpClient, string, int, CancellationToken)"/>
    public static async Task<StreamedAnswer> StreamAsync(this HttpClient client, string path, JsonNode body, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        return new StreamedAnswer(await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken));
    }

    /// <summary>Asks for so many streams at once and reads all to their ends.</summary>
    public static async Task<IReadOnlyList<StreamedAnswer>> StreamAllAsync(this HttpClient client, int count, string model, int maxTokens, CancellationToken cancellationToken)
    {
        return await Task.WhenAll(Enumerable.Range(0, count).Select(async _ =>
        {
            var answer = await client.StreamAsync(model, maxTokens, cancellationToken);
            return await answer.ReadToEndAsync(cancellationToken);
        }));
    }

    public static async Task<JsonObject> JsonAsync(this HttpResponseMessage response, CancellationToken cancellationToken) =>
        JsonNode.Parse(await response.Content.ReadAsStringAsync(cancellationToken))!.AsObject();

    /// <summary>The <c>error</c> of an answer in OpenAI's shape.</summary>
    public static async Task<JsonObject> ErrorAsync(this HttpResponseMessage response, CancellationToken cancellationToken) =>
        (await response.JsonAsync(cancellationToken))["error"]!.AsObject();

    /// <summary>Asserts status and code of an error in OpenAI's shape, whole: no more fields, and no fewer.</summary>
    public static async Task<JsonObject> AssertErrorAsync(this HttpResponseMessage response, HttpStatusCode status, string code, CancellationToken cancellationToken)
    {
        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        Assert.True(response.StatusCode == status, $"{status} was expected, not {response.StatusCode}: {text}");
        var error = JsonNode.Parse(text)!["error"]!.AsObject();
        Assert.Equal(code, (string?)error["code"]);
        Assert.Equal(["code", "message", "param", "type"], error.Select(field => field.Key).Order());
        Assert.NotEmpty((string)error["message"]!);
        return error;
    }

    /// <summary>Asserts that a refusal says when to come back.</summary>
    public static void AssertRetryAfter(this HttpResponseMessage response)
    {
        var seconds = int.Parse(response.Headers.GetValues("retry-after").Single(), System.Globalization.CultureInfo.InvariantCulture);
        var milliseconds = long.Parse(response.Headers.GetValues("retry-after-ms").Single(), System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(seconds, 1, 30);
        Assert.InRange(milliseconds, 1, seconds * 1000L);
    }

    public static string? Header(this HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) ? string.Join(",", values) : null;
}
