using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>The address of one launch, ours until disposed.</summary>
internal sealed class AddressLease : IDisposable
{
    private const string Loopback = "127.0.0.1";
    private Action? _release;

    private AddressLease(BackendAddress address, string host, int? port, Action release) =>
        (Address, Host, Port, _release) = (address, host, port, release);

    public BackendAddress Address { get; }

    /// <summary>What <c>{host}</c> stands for.</summary>
    public string Host { get; }

    /// <summary>What <c>{port}</c> stands for.</summary>
    public int? Port { get; }

    /// <summary>Null when every port of the range is in use.</summary>
    public static AddressLease? Rent(ReplicaSetOptions options, PortPool ports, SocketFolder sockets)
    {
        if (options.Transport is ReplicaTransport.Unix)
        {
            var path = sockets.Next();
            return new(BackendAddress.Unix(path), path, null, () => SocketFile.Remove(path));
        }

        return ports.Rent(options.FirstPort, options.LastPort) is { } port
            ? new(BackendAddress.Tcp(Loopback, port), Loopback, port, () => ports.Return(port))
            : null;
    }

    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
}
