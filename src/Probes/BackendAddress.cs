namespace LlmGateway.Probes;

/// <summary>Where one server listens: a TCP host and port, or a Unix socket.</summary>
/// <remarks>Equality is by value, so an address can key a dictionary.</remarks>
public sealed record BackendAddress
{
    private BackendAddress(Uri baseUri, string? unixSocketPath) => (BaseUri, UnixSocketPath) = (baseUri, unixSocketPath);

    /// <summary>Scheme, host and port, with a trailing slash. For a Unix socket the host is <c>localhost</c> and carries no meaning.</summary>
    public Uri BaseUri { get; }

    /// <summary>Path of the Unix socket to connect to, or null for TCP.</summary>
    public string? UnixSocketPath { get; }

    /// <summary>A local TCP listener.</summary>
    /// <param name="host">An IP address or host name.</param>
    /// <param name="port">1 to 65535.</param>
    public static BackendAddress Tcp(string host, int port)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(port, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, 65535);
        return new(new UriBuilder(Uri.UriSchemeHttp, host, port).Uri, null);
    }

    /// <summary>A Unix socket.</summary>
    /// <param name="path">At most 107 bytes, the limit of the Linux kernel.</param>
    public static BackendAddress Unix(string path) => new(new Uri("http://localhost/"), path);

    /// <summary>A server that somebody else runs.</summary>
    /// <param name="url">An absolute <c>http</c> or <c>https</c> URL; a path is kept as a prefix.</param>
    public static BackendAddress Remote(Uri url)
    {
        ArgumentNullException.ThrowIfNull(url);
        return new(url.AbsoluteUri.EndsWith('/') ? url : new Uri(url.AbsoluteUri + "/"), null);
    }

    /// <summary>The form that people see: <c>http://127.0.0.1:18100</c> or <c>unix:/run/x.sock</c>.</summary>
    public override string ToString() => UnixSocketPath is null ? BaseUri.AbsoluteUri.TrimEnd('/') : $"unix:{UnixSocketPath}";
}
