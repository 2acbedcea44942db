using System.Text;
using LlmGateway.Simulator.Hosting;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Api;

/// <summary>What all endpoints that take a slot have in common: counting, the faults on requests, the body.</summary>
internal static class InferenceEndpoint
{
    public static async Task HandleAsync(Exchange exchange, Func<Exchange, Task> handler)
    {
        var (state, faults) = (exchange.Simulation.State, exchange.Simulation.Faults);
        state.Received();
        try
        {
            var body = await exchange.ReadBodyAsync().ConfigureAwait(false);
            var now = faults.Current;
            if (now.ExitOnMarker is { Length: > 0 } marker && body.Span.IndexOf(Encoding.UTF8.GetBytes(marker)) >= 0)
            {
                ProcessExit.ByFault(now);
            }

            await BreakAsync(exchange, now.Inference).ConfigureAwait(false);
            exchange.ParseBody(body);
            await handler(exchange).ConfigureAwait(false);
            await exchange.Http.Response.CompleteAsync().ConfigureAwait(false);
            if (state.Finished() >= faults.Current.ExitAfterRequests)
            {
                ProcessExit.ByFault(faults.Current);
            }
        }
        catch (Engine.AbandonedException)
        {
            state.Abandoned();
            throw;
        }
        finally
        {
            state.Left();
        }
    }

    private static Task BreakAsync(Exchange exchange, InferenceMode mode) => mode switch
    {
        InferenceMode.Ok => Task.CompletedTask,
        InferenceMode.Hang => exchange.HoldWhileAsync(static f => f.Inference == InferenceMode.Hang),
        InferenceMode.Error => throw ApiException.Server("simulated failure"),
        InferenceMode.Reset => Breakage.ResetAsync(exchange.Http),
        InferenceMode.HeadersOnly => Breakage.HeadersOnlyAsync(exchange),
        InferenceMode.Malformed => Breakage.RawAsync(exchange.Http, "HTP/1.1 2OO Okay\r\ncontent-type text/plain\r\n\r\n\0\u0001garbage"u8.ToArray()),
        InferenceMode.BadChunk => Breakage.RawAsync(
            exchange.Http,
            "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ndata: {}\r\n\r\n"u8.ToArray()),
        InferenceMode.ShortBody => Breakage.RawAsync(
            exchange.Http,
            "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"choices\":["u8.ToArray()),
        InferenceMode.HugeHeaders => Breakage.RawAsync(
            exchange.Http,
            Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nX-Huge: {new string('x', 128 * 1024)}\r\nContent-Length: 2\r\n\r\n{{}}")),
        _ => Task.CompletedTask,
    };
}
