using System.Buffers;
using System.Buffers.Binary;

namespace LlmGateway.Gateway.Requests;

/// <summary>The id that a request has in answers and logs: the client's own when it is harmless, else a new one.</summary>
internal static class RequestId
{
    public const string Header = "x-request-id";

    private static readonly SearchValues<char> Allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

    public static string From(string? offered) =>
        offered is { Length: >= 1 and <= 128 } && !offered.AsSpan().ContainsAnyExcept(Allowed) ? offered : New();

    /// <summary>In the order of time, and unlike any other; no secret, so nobody is asked for true chance.</summary>
    private static string New()
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteInt64BigEndian(bytes, TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() << 16);
        Random.Shared.NextBytes(bytes[6..]);
        return $"req-{new Guid(bytes, bigEndian: true):n}";
    }

    /// <summary>Tells the client its request's id, by the name that the API's own clients look for.</summary>
    public static void Show(IHeaderDictionary headers, ApiDialect dialect, string id)
    {
        headers[Header] = id;
        if (dialect == ApiDialect.Messages)
        {
            headers["request-id"] = id;
        }
    }
}
