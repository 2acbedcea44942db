using System.Buffers;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>What a backend is told besides the body.</summary>
internal static class BackendRequest
{
    private static readonly SearchValues<char> TraceParentCharacters = SearchValues.Create("0123456789abcdef-");

    /// <summary>Address, headers and length of a message whose content is there.</summary>
    /// <remarks>An allow-list: whatever is not named here stays here (credentials, cookies, hop-by-hop and forwarding headers, X-Conversation-Id …).</remarks>
    /// <param name="message">The message.</param>
    /// <param name="request">What the client asks.</param>
    /// <param name="backend">Who is asked.</param>
    /// <param name="from">The client's headers.</param>
    /// <param name="length">Bytes of the body.</param>
    /// <param name="traceParent">The span that asks; null for the client's own.</param>
    public static void Describe(HttpRequestMessage message, InferenceRequest request, Backend backend, IHeaderDictionary from, int length, string? traceParent)
    {
        var to = message.Headers;
        message.RequestUri = backend.UriOf(request.Path);
        to.TryAddWithoutValidation("Accept", request.Stream ? "text/event-stream, application/json" : "application/json, */*");
        to.TryAddWithoutValidation(RequestId.Header, request.Id);

        // llama-server closes after a stream although it promises to stay: the next request on that connection would fail.
        to.ConnectionClose = request.Stream ? true : null;
        if ((traceParent ?? from.TraceParent.ToString()) is { Length: 55 } trace && !trace.AsSpan().ContainsAnyExcept(TraceParentCharacters))
        {
            to.TryAddWithoutValidation("traceparent", trace);
        }

        if (backend.Authorization is { } key)
        {
            to.TryAddWithoutValidation("Authorization", key);
        }

        if (message.Content is { } content)
        {
            content.Headers.ContentLength = length;
            content.Headers.TryAddWithoutValidation("Content-Type", request.Endpoint.IsForm ? from.ContentType.ToString() : "application/json");
        }
    }
}
