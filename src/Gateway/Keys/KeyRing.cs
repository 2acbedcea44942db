using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using LlmGateway.Gateway.Models;
using Microsoft.Extensions.Primitives;

namespace LlmGateway.Gateway.Keys;

/// <summary>The configured API keys. Secrets are never kept: a request's secret is hashed and compared in constant time.</summary>
internal sealed class KeyRing(IEnumerable<KeyOptions> configured)
{
    private const int LongestSecret = 512;

    private volatile Keys _keys = new(configured);

    /// <summary>False when no key is configured and none is asked for.</summary>
    public bool IsRequired => _keys.All.Length > 0;

    /// <summary>The key that the headers carry, or null. Two different secrets at once are no key.</summary>
    public ApiKey? Find(StringValues authorization, StringValues apiKey)
    {
        const string Bearer = "Bearer ";
        var keys = _keys;
        if (apiKey.Count == 0 && authorization.Count == 1 && authorization[0] is { } same && keys.Accepted.TryGetValue(same, out var accepted))
        {
            return accepted;
        }

        if (authorization.Count > 1 || apiKey.Count > 1)
        {
            return null;
        }

        var header = authorization.ToString().AsSpan();
        var hasBearer = header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase);
        var bearer = hasBearer ? header[Bearer.Length..].Trim() : default;
        var other = apiKey.ToString().AsSpan().Trim();
        var secret = hasBearer ? bearer : other;
        if (!(hasBearer || apiKey.Count == 1) || secret.Length > LongestSecret || (hasBearer && apiKey.Count == 1 && !bearer.SequenceEqual(other)))
        {
            return null;
        }

        var found = Find(keys.All, secret);
        if (found is not null && hasBearer && apiKey.Count == 0)
        {
            keys.Accepted.TryAdd(authorization[0]!, found);
        }

        return found;
    }

    /// <summary>Takes over the keys of a new configuration: one that is gone opens nothing from now on.</summary>
    public void Apply(IEnumerable<KeyOptions> configured) => _keys = new(configured);

    private static ApiKey? Find(ApiKey[] keys, ReadOnlySpan<char> secret)
    {
        Span<byte> bytes = stackalloc byte[3 * LongestSecret];
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes[..Encoding.UTF8.GetBytes(secret, bytes)], hash);
        ApiKey? found = null;
        foreach (var key in keys)
        {
            // Every key is compared, so that the time tells nothing.
            found = CryptographicOperations.FixedTimeEquals(hash, key.Hash) ? key : found;
        }

        return found;
    }

    /// <summary>The keys of one configuration.</summary>
    private sealed class Keys(IEnumerable<KeyOptions> configured)
    {
        public ApiKey[] All { get; } = [.. configured.Select(key => new ApiKey(key))];

        /// <summary>
        /// Headers that were accepted, for as long as the web server keeps them: it hands out the very same string with each request of a connection
        /// whose header has the same bytes. They are looked up by which string it is, not by what it says, so nothing is kept and no time tells of it.
        /// </summary>
        public ConditionalWeakTable<string, ApiKey> Accepted { get; } = [];
    }
}
