using System.Net.Sockets;

namespace LlmGateway.Probes;

/// <summary>A connect, closed at once.</summary>
internal sealed class TcpProbe(ProbeOptions options, BackendAddress address, TimeProvider time) : Probe(options.Timeout, time)
{
    private protected override async Task<ProbeResult> AskAsync(long started, CancellationToken cancellationToken)
    {
        if (address.UnixSocketPath is { } path && options.Port is null)
        {
            using var unix = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await unix.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
        }
        else
        {
            using var tcp = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await tcp.ConnectAsync(address.BaseUri.IdnHost.Trim('[', ']'), options.Port ?? address.BaseUri.Port, cancellationToken);
        }

        return ProbeResult.Pass(Time.GetElapsedTime(started));
    }
}
