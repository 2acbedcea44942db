using System.Runtime.CompilerServices;
using LlmGateway.Probes.LlamaServer;

namespace LlmGateway.Gateway.Backends;

/// <summary>A client for each backend's own endpoints (<c>/slots</c>, <c>/metrics</c>), made when it is first asked for; it leaves with its backend.</summary>
internal sealed class LlamaServerClients
{
    private readonly ConditionalWeakTable<Backend, LlamaServerClient> _clients = [];

    /// <summary>The backend's client; whoever gets it does not dispose it.</summary>
    public LlamaServerClient Of(Backend backend) => _clients.GetValue(backend, static backend =>
    {
        var client = new LlamaServerClient(backend.Address, backend.ApiKey);
        backend.Gone.UnsafeRegister(static state => ((LlamaServerClient)state!).Dispose(), client);
        return client;
    });
}
