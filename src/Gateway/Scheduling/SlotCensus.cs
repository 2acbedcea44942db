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
        catch (LlamaServerException e) when (e.Status is (>= 400 and < 500) or 501)
        {
            // A server without /slots: nothing better is known than that our connection is closed.
            return null;
        }
        catch (LlamaServerException e)
        {
            // It tells, but not now: what it works on is not known to have ended.
            throw new HttpRequestException(e.Message, e);
        }
    }

    private static LlamaServerClient Create(Backend backend)
    {
        var client = new LlamaServerClient(backend.Address, backend.ApiKey);
        backend.Gone.UnsafeRegister(static state => ((LlamaServerClient)state!).Dispose(), client);
        return client;
    }
}
