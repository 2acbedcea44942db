using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Ends a client's connection behind the answer, so that the client learns of both at once.</summary>
/// <remarks>
/// The head of a broken stream has promised nothing about the connection, so a client's pool takes it back with the answer's last byte. When the end
/// of the connection comes a moment later, a request may have been sent on it already, and that one fails. On Linux the answer's last packet is
/// therefore held back until the connection ends, which then comes with it; the kernel holds it for 200 ms at most.
/// </remarks>
internal static class LastPacket
{
    // Linux' own numbers: .NET has no names for them.
    private const int IpProtoTcp = 6;
    private const int TcpCork = 3;

    /// <summary>Closes the connection once the answer is complete. To be asked for before the answer's last bytes are written.</summary>
    public static void CloseWith(HttpContext context)
    {
        if (OperatingSystem.IsLinux()
            && HttpProtocol.IsHttp11(context.Request.Protocol)
            && context.Features.Get<IConnectionSocketFeature>()?.Socket is { ProtocolType: ProtocolType.Tcp } socket)
        {
            try
            {
                socket.SetRawSocketOption(IpProtoTcp, TcpCork, BitConverter.GetBytes(1));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // It has ended already.
            }
        }

        context.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
    }
}
