using System.Runtime.CompilerServices;
using LlmGateway.Gateway.Backends;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>One HTTP client per backend, made at its first request and disposed when the backend is gone.</summary>
internal sealed class BackendInvokers
{
    private readonly ConditionalWeakTable<Backend, HttpMessageInvoker> _invokers = [];

    public HttpMessageInvoker For(Backend backend, TimeSpan connectTimeout) =>
        _invokers.GetValue(backend, key => Create(key, connectTimeout));

    private static HttpMessageInvoker Create(Backend backend, TimeSpan connectTimeout)
    {
        // Slots bound what is open, not connections: a pool that is too small would be a second, hidden queue.
        var handler = BackendHandler.Create(backend.Address, connectTimeout, int.MaxValue);

        // A client that leaves must free the slot: close the connection, never read the rest of an answer that nobody wants.
        handler.MaxResponseDrainSize = 0;
        handler.ResponseDrainTimeout = TimeSpan.Zero;
        var invoker = new HttpMessageInvoker(handler);
        backend.Gone.UnsafeRegister(static state => ((HttpMessageInvoker)state!).Dispose(), invoker);
        return invoker;
    }
}
