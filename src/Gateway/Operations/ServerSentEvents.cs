using System.Text;

namespace LlmGateway.Gateway.Operations;

/// <summary>One client that reads server-sent events.</summary>
internal sealed class ServerSentEvents(HttpResponse response)
{
    private static readonly byte[] Heartbeat = ": still here\n\n"u8.ToArray();

    /// <summary>True when the client wants the head of the answer and nothing of its body, which has no end.</summary>
    public bool IsHeadOnly => HttpMethods.IsHead(response.HttpContext.Request.Method);

    /// <summary>Sends the head; the answer has begun then.</summary>
    public Task BeginAsync(CancellationToken cancellationToken)
    {
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        response.Headers["X-Accel-Buffering"] = "no";
        return response.StartAsync(cancellationToken);
    }

    /// <summary>Sends one event; <paramref name="data"/> is one line.</summary>
    public async Task SendAsync(string name, long? id, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        await response.BodyWriter.WriteAsync(Encoding.ASCII.GetBytes(id is { } number ? $"id: {number}\nevent: {name}\ndata: " : $"event: {name}\ndata: "), cancellationToken);
        await response.BodyWriter.WriteAsync(data, cancellationToken);
        await response.BodyWriter.WriteAsync("\n\n"u8.ToArray(), cancellationToken);
    }

    /// <summary>Sends a comment, so that neither side takes the silence for a dead connection.</summary>
    public async Task StillHereAsync(CancellationToken cancellationToken) => await response.BodyWriter.WriteAsync(Heartbeat, cancellationToken);
}
