using System.Net.Sockets;

namespace LlmGateway.Probes;

/// <summary>Reads an exception of the network as a reason.</summary>
internal static class Failure
{
    public static ProbeReason ReasonOf(Exception? exception)
    {
        for (var e = exception; e is not null; e = e.InnerException)
        {
            if (e is SocketException socket)
            {
                return socket.SocketErrorCode switch
                {
                    // A Unix socket whose file is gone says AddressNotAvailable.
                    SocketError.ConnectionRefused or SocketError.AddressNotAvailable => ProbeReason.Refused,
                    SocketError.ConnectionReset or SocketError.ConnectionAborted or SocketError.Shutdown => ProbeReason.Reset,
                    SocketError.TimedOut => ProbeReason.Timeout,
                    _ => ProbeReason.Unreachable,
                };
            }

            if (e is HttpIOException http && Of(http.HttpRequestError) is { } reason)
            {
                return reason;
            }

            if (e is HttpRequestException request && e.InnerException is null && Of(request.HttpRequestError) is { } cause)
            {
                return cause;
            }

            if (e is OperationCanceledException or TimeoutException)
            {
                return ProbeReason.Timeout; // the handler's own connect timeout
            }
        }

        return ProbeReason.Unreachable;
    }

    private static ProbeReason? Of(HttpRequestError error) => error switch
    {
        HttpRequestError.ResponseEnded => ProbeReason.Reset,
        HttpRequestError.InvalidResponse or HttpRequestError.HttpProtocolError or HttpRequestError.ConfigurationLimitExceeded => ProbeReason.Protocol,
        _ => null,
    };
}
