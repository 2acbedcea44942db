using System.Runtime.CompilerServices;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding.Wire;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Does no more than inference needs: a body is in memory, no header is copied, an answer goes from the relay's buffer straight into the client's.</summary>
/// <param name="time">The clock of connections.</param>
internal sealed class LeanForwarder(TimeProvider time) : IAttemptForwarder
{
    private readonly ConditionalWeakTable<Backend, WireClient> _clients = [];

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ForwardEnd> SendAsync(HttpContext context, Attempt attempt)
    {
        try
        {
            using var body = await ClientOf(attempt).AskAsync(attempt.Describe(context.Request.Headers), attempt.Body.Bytes, attempt.Over);
            using var relay = await attempt.TakeAsync(context, body.Head, body);
            return relay is null || await CopyAsync(context, relay) ? default : new ForwardEnd(IsClientGone: true, null);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            if (context.Response.HasStarted)
            {
                // Never ended cleanly: the client would take half an answer for a whole one.
                context.Abort();
            }

            return new ForwardEnd(IsClientGone: false, e);
        }
    }

    /// <summary>False when the client has left.</summary>
    private static async ValueTask<bool> CopyAsync(HttpContext context, RelayStream relay)
    {
        var (client, aborted) = (context.Response.BodyWriter, context.RequestAborted);
        while (await relay.WaitAsync(aborted))
        {
            if (!await relay.WriteToAsync(client))
            {
                return false;
            }
        }

        return true;
    }

    private WireClient ClientOf(Attempt attempt) => _clients.TryGetValue(attempt.Backend, out var client) ? client : Make(attempt.Backend, attempt.ConnectTimeout);

    private WireClient Make(Backend backend, TimeSpan connectTimeout) => _clients.GetValue(backend, backend =>
    {
        var client = new WireClient(backend.Address, connectTimeout, time);
        backend.Gone.UnsafeRegister(static state => ((WireClient)state!).Dispose(), client);
        return client;
    });
}
