using System.Collections.Frozen;
using System.Net;

namespace LlmGateway.Gateway.Requests;

/// <summary>Refuses requests that a web page sends behind its user's back: a foreign Host (DNS rebinding) or a foreign Origin.</summary>
/// <param name="hosts">Names besides the loopback names and the listener's own address; <c>*</c> allows all.</param>
/// <param name="origins">Web origins that may call; <c>*</c> allows all.</param>
internal sealed class HostGuard(IEnumerable<string> hosts, IEnumerable<string> origins)
{
    private readonly FrozenSet<string> _hosts = hosts.ToFrozenSet(StringComparer.OrdinalIgnoreCase);
    private readonly FrozenSet<string> _origins = origins.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    // Most clients write the same name into every request.
    private volatile Accepted? _last;

    /// <summary>The refusal, or null.</summary>
    /// <param name="host">The Host header.</param>
    /// <param name="origin">The Origin header, or empty.</param>
    /// <param name="fetchSite">The Sec-Fetch-Site header, or empty.</param>
    /// <param name="local">The address that the connection came in on.</param>
    /// <param name="checkHost">False for what load balancers and scrapers ask.</param>
    public ApiError? Check(HostString host, string origin, string fetchSite, IPAddress? local, bool checkHost)
    {
        if (checkHost && !(_last is { } last && last.Host == host.Value && Equals(last.Local, local)))
        {
            if (!IsOurs(host.Host, local))
            {
                return ApiErrors.HostNotAllowed;
            }

            _last = new(host.Value, local);
        }

        if (origin.Length > 0 ? IsForeign(origin, host) : fetchSite.Equals("cross-site", StringComparison.OrdinalIgnoreCase))
        {
            return ApiErrors.OriginNotAllowed;
        }

        return null;
    }

    private bool IsOurs(string host, IPAddress? local)
    {
        if (_hosts.Contains("*") || _hosts.Contains(host) || host.Equals("localhost", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        return IPAddress.TryParse(host.Trim('[', ']'), out var address)
            && (IPAddress.IsLoopback(address) || (local is not null && address.Equals(local.IsIPv4MappedToIPv6 ? local.MapToIPv4() : local)));
    }

    private bool IsForeign(string origin, HostString host)
    {
        if (_origins.Contains("*") || _origins.Contains(origin))
        {
            return false;
        }

        // Pages of our own come from the very host and port that they talk to.
        return !Uri.TryCreate(origin, UriKind.Absolute, out var uri) || !string.Equals(uri.Authority, host.Value, StringComparison.OrdinalIgnoreCase);
    }

    private sealed record Accepted(string? Host, IPAddress? Local);
}
