using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LlmGateway.Gateway;

/// <summary>What the kernel is told about clients' connections: to notice those that have vanished, and to keep little for those that don't read.</summary>
/// <remarks>
/// The options are set on the listening socket and inherited by every accepted one. They bound what Kestrel can't see: bytes that it has written count as
/// sent for it, wherever they are. Together with Kestrel's minimum rate (240 bytes a second after 5 s) a client that reads nothing, or
/// only drop by drop, is cut soon after these buffers are full.
/// </remarks>
internal static class ClientSockets
{
    /// <summary>Longest time for which sent bytes may stay unacknowledged, or a full window closed.</summary>
    public static readonly TimeSpan Unacknowledged = TimeSpan.FromSeconds(30);

    /// <summary>Silence after which the other end is asked whether it is there; three questions 10 s apart, so a vanished client is known after a minute.</summary>
    public static readonly TimeSpan Silence = TimeSpan.FromSeconds(30);

    /// <summary>Bytes that may wait in the kernel for a client's window.</summary>
    public const int Unsent = 128 * 1024;

    // Linux' own numbers: .NET has no names for them.
    private const int IpProtoTcp = 6;
    private const int TcpUserTimeout = 18;
    private const int TcpNotSentLowWater = 25;

    /// <summary>Sees to it that a server's listeners have these options.</summary>
    public static void Apply(SocketTransportOptions options) => options.CreateBoundListenSocket = static endpoint =>
    {
        var socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        if (socket.ProtocolType == ProtocolType.Tcp)
        {
            Apply(socket);
        }

        return socket;
    };

    internal static void Apply(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, (int)Silence.TotalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 10);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
        if (OperatingSystem.IsLinux())
        {
            socket.SetRawSocketOption(IpProtoTcp, TcpUserTimeout, BitConverter.GetBytes((int)Unacknowledged.TotalMilliseconds));
            socket.SetRawSocketOption(IpProtoTcp, TcpNotSentLowWater, BitConverter.GetBytes(Unsent));
        }
    }
}
