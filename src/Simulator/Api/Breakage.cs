using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace LlmGateway.Simulator.Api;

/// <summary>A connection was broken on purpose; the answer is not to be completed.</summary>
internal sealed class BrokenOffException : Exception;

/// <summary>Breaks connections below HTTP.</summary>
internal static class Breakage
{
    /// <summary>Sends a TCP reset.</summary>
    public static Task ResetAsync(HttpContext http)
    {
        if (http.Features.Get<IConnectionSocketFeature>() is { } feature)
        {
            // With no lingering, closing the socket discards what is unsent and resets.
            feature.Socket.LingerState = new System.Net.Sockets.LingerOption(true, 0);
            feature.Socket.Dispose();
        }

        http.Abort();
        throw new BrokenOffException();
    }

    /// <summary>Sends what is written so far, then ends the connection in order (FIN) without the last chunk.</summary>
    public static async Task CloseAsync(HttpContext http)
    {
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted).ConfigureAwait(false);
        await EndTransportAsync(http).ConfigureAwait(false);
    }

    /// <summary>Sends bytes in place of an HTTP answer, then ends the connection.</summary>
    public static async Task RawAsync(HttpContext http, ReadOnlyMemory<byte> bytes)
    {
        await Transport(http).Transport.Output.WriteAsync(bytes, http.RequestAborted).ConfigureAwait(false);
        await EndTransportAsync(http).ConfigureAwait(false);
    }

    /// <summary>Sends the headers of a stream, then nothing until the fault is lifted or the client goes.</summary>
    public static async Task HeadersOnlyAsync(Exchange exchange)
    {
        exchange.Http.Response.ContentType = "text/event-stream";
        await exchange.Http.Response.BodyWriter.FlushAsync(exchange.Aborted).ConfigureAwait(false);
        await exchange.HoldWhileAsync(static f => f.Inference == Injection.InferenceMode.HeadersOnly).ConfigureAwait(false);
        exchange.Http.Abort();
        throw new BrokenOffException();
    }

    // Completing the transport's pipe makes Kestrel send all of it and close; aborting before that is done would race with the sending.
    private static async Task EndTransportAsync(HttpContext http)
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var registration = http.Features.GetRequiredFeature<IConnectionLifetimeFeature>().ConnectionClosed.Register(closed.SetResult);
        await Transport(http).Transport.Output.CompleteAsync().ConfigureAwait(false);
        await closed.Task.ConfigureAwait(false);
        throw new BrokenOffException();
    }

    private static IConnectionTransportFeature Transport(HttpContext http) =>
        http.Features.Get<IConnectionTransportFeature>() ?? throw new InvalidOperationException("no transport");
}
