using System.Net;
using System.Net.Sockets;

namespace LlmGateway.Gateway.Tests;

public sealed class ClientSocketsTests
{
    [Fact]
    public async Task Accepted_SocketOfAListener_HasTheListenersOptions()
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        ClientSockets.Apply(listener);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(listener.LocalEndPoint!, TestContext.Current.CancellationToken);
        using var accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken);
        Assert.Equal(30, (int)accepted.GetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime)!);
        Assert.NotEqual(0, (int)accepted.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive)!);
        if (OperatingSystem.IsLinux())
        {
            Assert.Equal((30_000, ClientSockets.Unsent), (Raw(accepted, 18), Raw(accepted, 25)));
        }
    }

    private static int Raw(Socket socket, int option)
    {
        Span<byte> value = stackalloc byte[4];
        socket.GetRawSocketOption(6, option, value);
        return BitConverter.ToInt32(value);
    }
}
