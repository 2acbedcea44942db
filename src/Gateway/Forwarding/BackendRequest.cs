using System.Buffers;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>What a backend is told besides the body. Pure.</summary>
/// <remarks>An allow-list: whatever is not named here stays here (credentials, cookies, hop-by-hop and forwarding headers, X-Conversation-Id …).</remarks>
internal readonly struct BackendRequest
{
    private static readonly SearchValues<char> TraceParentCharacters = SearchValues.Create("0123456789abcdef-");

    /// <summary>Its address.</summary>
    public required BackendTarget Target { get; init; }

    public required string Accept { get; init; }

    /// <summary>The request's id.</summary>
    public required string Id { get; init; }

    /// <summary>True when the connection is not to be used again: llama-server closes after a stream although it promises to stay, and the next request on it would fail.</summary>
    public required bool IsLast { get; init; }

    public string? TraceParent { get; init; }

    public string? Authorization { get; init; }

    /// <summary>Bytes of the body.</summary>
    public required int Length { get; init; }

    public required string ContentType { get; init; }

    /// <summary>What a backend is told of a client's request.</summary>
    /// <param name="request">What the client asks.</param>
    /// <param name="backend">Who is asked.</param>
    /// <param name="from">The client's headers.</param>
    /// <param name="length">Bytes of the body.</param>
    /// <param name="traceParent">The span that asks; null for the client's own.</param>
    public static BackendRequest Of(InferenceRequest request, Backend backend, IHeaderDictionary from, int length, string? traceParent) => new()
    {
        Target = backend.TargetOf(request.Path),
        Accept = request.Stream ? "text/event-stream, application/json" : "application/json, */*",
        Id = request.Id,
        IsLast = request.Stream,
        TraceParent = (traceParent ?? from.TraceParent.ToString()) is { Length: 55 } trace && !trace.AsSpan().ContainsAnyExcept(TraceParentCharacters) ? trace : null,
        Authorization = backend.Authorization,
        Length = length,
        ContentType = request.Endpoint.IsForm ? from.ContentType.ToString() : "application/json",
    };

    /// <summary>Says the same on a message of .NET's HTTP client, whose content is there.</summary>
    public void Describe(HttpRequestMessage message)
    {
        message.RequestUri = Target.Uri;
        message.Headers.TryAddWithoutValidation("Accept", Accept);
        message.Headers.TryAddWithoutValidation(RequestId.Header, Id);
        message.Headers.ConnectionClose = IsLast ? true : null;
        if (TraceParent is { } trace)
        {
            message.Headers.TryAddWithoutValidation("traceparent", trace);
        }

        if (Authorization is { } key)
        {
            message.Headers.TryAddWithoutValidation("Authorization", key);
        }

        if (message.Content is { } content)
        {
            content.Headers.ContentLength = Length;
            content.Headers.TryAddWithoutValidation("Content-Type", ContentType);
        }
    }
}
