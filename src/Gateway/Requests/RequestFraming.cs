using Microsoft.Extensions.Primitives;

namespace LlmGateway.Gateway.Requests;

/// <summary>Refuses requests whose end a proxy in front could see elsewhere than the gateway does: the rest of one would be the next. Pure.</summary>
internal static class RequestFraming
{
    /// <summary>Where Kestrel puts a Content-Length that stands beside a Transfer-Encoding.</summary>
    public const string RenamedLength = "X-Content-Length";

    /// <summary>The refusal, or null. After a refusal the connection must not be used again.</summary>
    /// <param name="protocol">The request's HTTP version.</param>
    /// <param name="transferEncoding">Its Transfer-Encoding.</param>
    /// <param name="renamedLength">Its <see cref="RenamedLength"/>.</param>
    public static ApiError? Check(string protocol, StringValues transferEncoding, StringValues renamedLength)
    {
        if (transferEncoding.Count == 0)
        {
            return null;
        }

        return renamedLength.Count > 0 || HttpProtocol.IsHttp10(protocol) ? ApiErrors.MalformedBody
            : transferEncoding is [{ } coding] && coding.Equals("chunked", StringComparison.OrdinalIgnoreCase) ? null
            : ApiErrors.UnsupportedEncoding;
    }
}
