using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace LlmGateway.Gateway.Operations.Login;

/// <summary>How a browser proves that it may use the management listener: a one-time code, or the token, becomes a cookie.</summary>
/// <remarks>
/// A cookie is its own proof (a MAC with a key that comes from the token), so sessions need no memory, outlive a restart, and all end when
/// the token changes. With each cookie goes a second secret that only a page of ours can read: a command must carry it, too.
/// </remarks>
internal sealed class BrowserSessions(ManagementToken token, TimeProvider time)
{
    /// <summary>How long a cookie is good.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromHours(12);

    /// <summary>How long a code is good.</summary>
    public static readonly TimeSpan CodeLifetime = TimeSpan.FromHours(12);

    /// <summary>Codes that are good at once; a new one beyond that voids the oldest.</summary>
    private const int MostCodes = 16;

    private readonly byte[] _key = token.DeriveKey("browser session");
    private readonly Lock _lock = new();
    private readonly Queue<(byte[] Hash, DateTimeOffset Until)> _codes = new();

    /// <summary>A code that opens one session.</summary>
    public string NewCode()
    {
        var code = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        lock (_lock)
        {
            if (_codes.Count == MostCodes)
            {
                _codes.Dequeue();
            }

            _codes.Enqueue((Hash(code), time.GetUtcNow() + CodeLifetime));
        }

        return code;
    }

    /// <summary>The cookie for a code that is good, which it is then no longer; or null.</summary>
    public string? Redeem(string code)
    {
        var hash = Hash(code);
        var now = time.GetUtcNow();
        var isGood = false;
        lock (_lock)
        {
            for (var left = _codes.Count; left > 0; left--)
            {
                var one = _codes.Dequeue();
                if (CryptographicOperations.FixedTimeEquals(one.Hash, hash))
                {
                    isGood = one.Until > now;
                }
                else if (one.Until > now)
                {
                    _codes.Enqueue(one);
                }
            }
        }

        return isGood ? NewCookie() : null;
    }

    /// <summary>The cookie for the token itself, or null.</summary>
    public string? RedeemToken(string secret) => token.Is(secret) ? NewCookie() : null;

    /// <summary>The session's second secret when the cookie is good, or null.</summary>
    public string? Check(string? cookie)
    {
        if (cookie?.Split('.') is not [var until, var nonce, var mac]
            || !long.TryParse(until, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            || seconds < time.GetUtcNow().ToUnixTimeSeconds()
            || !CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(mac), Encoding.ASCII.GetBytes(Mac($"{until}.{nonce}"))))
        {
            return null;
        }

        return Mac($"forgery {nonce}");
    }

    /// <summary>True when <paramref name="given"/> is the session's second secret.</summary>
    public static bool Matches(string secret, string given) =>
        CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(secret), Encoding.ASCII.GetBytes(given));

    private string NewCookie()
    {
        var until = (time.GetUtcNow() + Lifetime).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var body = $"{until}.{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16))}";
        return $"{body}.{Mac(body)}";
    }

    private string Mac(string text) => Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(text)));

    private static byte[] Hash(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));
}
