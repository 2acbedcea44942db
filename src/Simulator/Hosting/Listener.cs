using System.Net;
using System.Net.Sockets;
using LlmGateway.Simulator.CommandLine;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LlmGateway.Simulator.Hosting;

/// <summary>Where the server listens, and the limits of the real one's HTTP layer.</summary>
internal static class Listener
{
    private const long LargestBody = 100L * 1024 * 1024;
    private const int ReusePortOption = 15;
    private const int SocketLevel = 1;

    public static bool IsUnixSocket(ServerSettings settings) => settings.Host.EndsWith(".sock", StringComparison.Ordinal);

    /// <exception cref="SocketException">The host has no address.</exception>
    public static EndPoint EndPointOf(ServerSettings settings) =>
        IsUnixSocket(settings) ? new UnixDomainSocketEndPoint(settings.Host)
        : new IPEndPoint(IPAddress.TryParse(settings.Host, out var address) ? address : Dns.GetHostAddresses(settings.Host)[0], settings.Port);

    public static void Limit(KestrelServerOptions options)
    {
        options.AddServerHeader = false;
        options.Limits.MaxRequestBodySize = LargestBody;
        options.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(5);

        // A reader that does not read does not hold generation back, and slow clients are waited for.
        options.Limits.MaxResponseBufferSize = null;
        options.Limits.MinRequestBodyDataRate = null;
        options.Limits.MinResponseDataRate = null;
    }

    public static void Transport(SocketTransportOptions options, ServerSettings settings)
    {
        options.Backlog = 512;
        if (settings.ReusePort)
        {
            options.CreateBoundListenSocket = endPoint =>
            {
                var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                socket.SetRawSocketOption(SocketLevel, ReusePortOption, [1, 0, 0, 0]);
                socket.Bind(endPoint);
                return socket;
            };
        }
    }
}
