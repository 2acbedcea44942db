using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LlmGateway.Gateway.Operations.Health;

/// <summary>The management listener's transport: health requests are answered before the web server, and by no thread of the pool.</summary>
/// <remarks>Kestrel accepts, reads and answers on the thread pool; when that is exhausted, whoever asks for health would wait with all the others.</remarks>
internal sealed class HealthFirstTransport(Func<bool> isReady, TimeProvider time, ILoggerFactory loggers) : IConnectionListenerFactory
{
    private const int Backlog = 512;

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        Socket socket;
        try
        {
            socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
            socket.Listen(Backlog);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            // The exception that Kestrel turns into one that names the address.
            throw new AddressInUseException(e.Message, e);
        }

        return ValueTask.FromResult<IConnectionListener>(new HealthFirstListener(socket, isReady, time, loggers));
    }
}
