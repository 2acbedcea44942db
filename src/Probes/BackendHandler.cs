using System.Net;
using System.Net.Sockets;

namespace LlmGateway.Probes;

/// <summary>The way to a backend's own listener: straight there, nothing remembered.</summary>
public static class BackendHandler
{
    /// <summary>llama-server closes an idle connection after 5 s; one kept longer here would be handed out dead.</summary>
    public static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(2);

    /// <summary>Makes a handler that connects to <paramref name="address"/> (TCP or Unix socket): no proxy, no redirects, no cookies, no decompression.</summary>
    /// <param name="address">Where the server listens.</param>
    /// <param name="connectTimeout">Longest wait for a connection. <value>More than 0.</value></param>
    /// <param name="maxConnections">Bound on open connections. <value>1 or more.</value></param>
    public static SocketsHttpHandler Create(BackendAddress address, TimeSpan connectTimeout, int maxConnections)
    {
        ArgumentNullException.ThrowIfNull(address);
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = connectTimeout,
            PooledConnectionIdleTimeout = IdleTimeout,
            MaxConnectionsPerServer = maxConnections,
            MaxResponseHeadersLength = 64, // KiB
            ActivityHeadersPropagator = null,
        };
        if (address.UnixSocketPath is { } path)
        {
            handler.ConnectCallback = (_, cancellationToken) => ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
        }

        return handler;
    }

    internal static async ValueTask<Stream> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken)
    {
        var socket = endpoint is UnixDomainSocketEndPoint
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(endpoint, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
