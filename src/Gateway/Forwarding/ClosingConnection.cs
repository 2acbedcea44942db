using Microsoft.AspNetCore.Connections.Features;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Ends a client's connection behind an answer whose head had promised to keep it.</summary>
/// <remarks>
/// A client's pool hands a connection to the next request the moment an answer is complete. A connection that ends with the answer loses that request,
/// however fast the end comes. So it stays open for a moment, for which a whole answer that says <c>Connection: close</c> in its head is the end, too.
/// </remarks>
internal static class ClosingConnection
{
    /// <summary>Longer than a busy client takes to use a connection again; what comes later has had time to see the end.</summary>
    public static readonly TimeSpan Linger = TimeSpan.FromMilliseconds(500);

    private static readonly object Key = new();

    /// <summary>Closes the connection once the answer is complete and nothing more has come for a moment.</summary>
    public static void Begin(HttpContext context)
    {
        var connection = context.Features.Get<IConnectionLifetimeNotificationFeature>();
        if (HttpProtocol.IsHttp11(context.Request.Protocol) && context.Features.Get<IConnectionItemsFeature>()?.Items is { } items)
        {
            items[Key] = new Timer(static connection => ((IConnectionLifetimeNotificationFeature?)connection)?.RequestClose(), connection, Linger, Timeout.InfiniteTimeSpan);
        }
        else
        {
            // HTTP/2 says which requests it still takes.
            connection?.RequestClose();
        }
    }

    /// <summary>Lets the answer to a request that came after all be the last one, which its head then says. To be asked for at the start of each request.</summary>
    public static void EndWith(HttpContext context)
    {
        if (context.Features.Get<IConnectionItemsFeature>()?.Items.ContainsKey(Key) == true)
        {
            context.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
        }
    }
}
