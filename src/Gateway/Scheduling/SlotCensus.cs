using LlmGateway.Gateway.Backends;
using LlmGateway.Probes.LlamaServer;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Counts busy slots on llama-server's <c>/slots</c>.</summary>
internal sealed class SlotCensus : ISlotCensus
{
    private readonly LlamaServerClients _clients = new();

    public async Task<int?> BusyAsync(Backend backend, CancellationToken cancellationToken)
    {
        try
        {
            return await _clients.Of(backend).CountBusySlotsAsync(cancellationToken);
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
}
