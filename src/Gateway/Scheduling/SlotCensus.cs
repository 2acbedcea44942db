using System.Runtime.CompilerServices;
using LlmGateway.Gateway.Backends;
using LlmGateway.Probes.LlamaServer;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Counts busy slots on llama-server's <c>/slots</c>.</summary>
internal sealed class SlotCensus : ISlotCensus
{
    private readonly ConditionalWeakTable<Backend, LlamaServerClient> _clients = [];

    public async Task<int?> BusyAsync(Backend backend, CancellationToken cancellationToken)
    {
        var client = _clients.GetValue(backend, Create);
        try
        {
            return (await client.GetSlotsAsync(cancellationToken)).Count(slot => slot.IsProcessing);
        }
        catch (LlamaServerException)
        {
            // A server without /slots: nothing better is known than that our connection is closed.
            return null;
        }
    }

    private static LlamaServerClient Create(Backend backend)
    {
        var client = new LlamaServerClient(backend.Address, backend.ApiKey);
        backend.Gone.UnsafeRegister(static state => ((LlamaServerClient)state!).Dispose(), client);
        return client;
    }
}
