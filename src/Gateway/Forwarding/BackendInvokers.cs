using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using LlmGateway.Gateway.Backends;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>One HTTP client per backend, made at its first request and disposed when the backend is gone.</summary>
internal sealed class BackendInvokers
{
    private readonly ConditionalWeakTable<Backend, HttpMessageInvoker> _invokers = [];

    public HttpMessageInvoker For(Backend backend, TimeSpan connectTimeout) =>
        _invokers.GetValue(backend, key => Create(key, connectTimeout));

    private static HttpMessageInvoker Create(Backend backend, TimeSpan connectTimeout)
    {
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null,
            ConnectTimeout = connectTimeout,
            MaxResponseHeadersLength = 64,

            // llama-server closes what is idle for 5 s: a connection used in that very moment would fail.
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(2),

            // A client that leaves must free the slot: close the connection, never read the rest of an answer that nobody wants.
            MaxResponseDrainSize = 0,
            ResponseDrainTimeout = TimeSpan.Zero,
        };
        if (backend.Address.UnixSocketPath is { } path)
        {
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        }

        var invoker = new HttpMessageInvoker(handler);
        backend.Gone.UnsafeRegister(static state => ((HttpMessageInvoker)state!).Dispose(), invoker);
        return invoker;
    }
}
