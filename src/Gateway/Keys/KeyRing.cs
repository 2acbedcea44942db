using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using LlmGateway.Gateway.Models;
using Microsoft.Extensions.Primitives;

namespace LlmGateway.Gateway.Keys;

/// <summary>The configured API keys. Secrets are never kept: a request's secret is hashed and compared in constant time.</summary>
internal sealed class KeyRing(IEnumerable<KeyOptions> configured)
{
    private const int LongestSecret = 512;

    private volatile IReadOnlyList<ApiKey> _keys = Build(configured);

    /// <summary>False when no key is configured and none is asked for.</summary>
    public bool IsRequired => _keys.Count > 0;

    /// <summary>The key that the headers carry, or null. Two different secrets at once are no key.</summary>
    public ApiKey? Find(StringValues authorization, StringValues apiKey)
    {
        const string Bearer = "Bearer ";
        if (authorization.Count > 1 || apiKey.Count > 1)
        {
            return null;
        }

        var header = authorization.ToString();
        var bearer = header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) ? header[Bearer.Length..].Trim() : null;
        var other = apiKey.Count == 1 ? apiKey.ToString().Trim() : null;
        var secret = bearer ?? other;
        return secret is null || secret.Length > LongestSecret || (bearer is not null && other is not null && bearer != other) ? null : Find(secret);
    }

    /// <summary>Takes over the keys of a new configuration: one that is gone opens nothing from now on.</summary>
    public void Apply(IEnumerable<KeyOptions> configured) => _keys = Build(configured);

    private static ImmutableArray<ApiKey> Build(IEnumerable<KeyOptions> configured) => [.. configured.Select(key => new ApiKey(key))];

    private ApiKey? Find(string secret)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(secret));
        ApiKey? found = null;
        foreach (var key in _keys)
        {
            // Every key is compared, so that the time tells nothing.
            found = CryptographicOperations.FixedTimeEquals(hash, key.Hash) ? key : found;
        }

        return found;
    }
}
