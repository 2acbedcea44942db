using System.Net;
using System.Net.Sockets;

namespace LlmGateway.TestKit.Gateways;

/// <summary>Ports that no other test on this machine uses, for as long as it is held.</summary>
/// <remarks>
/// The blocks lie below the ports that the kernel gives to connections, so none is taken by chance. The first port of a block is its lock: whoever
/// listens there owns the others.
/// </remarks>
public sealed class PortBlock : IDisposable
{
    private const int Lowest = 20_000;
    private const int Size = 20;
    private const int Blocks = 600;

    private readonly Socket _lock;

    private PortBlock(Socket @lock, int first) => (_lock, First) = (@lock, first);

    /// <summary>First port that may be used.</summary>
    public int First { get; }

    /// <summary>Last port that may be used.</summary>
    public int Last => First + Size - 2;

    public static PortBlock Take()
    {
        for (var i = 0; i < Blocks; i++)
        {
            // The kernel's choice of a port is as good as chance, and never the same for two who ask at once.
            using var any = Listen(0);
            var first = Lowest + (((((IPEndPoint)any.LocalEndPoint!).Port + i) % Blocks) * Size);
            try
            {
                return new PortBlock(Listen(first), first + 1);
            }
            catch (SocketException)
            {
                // Another test's.
            }
        }

        throw new InvalidOperationException("All blocks of ports are taken.");
    }

    public override string ToString() => $"{First}-{Last}";

    public void Dispose() => _lock.Dispose();

    private static Socket Listen(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            socket.Listen(1);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
