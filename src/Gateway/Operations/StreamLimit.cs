using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Operations;

/// <summary>How many watchers the management listener serves at once: event streams, live pages, followed logs.</summary>
internal sealed class StreamLimit(LiveCatalogue live)
{
    private int _open;

    /// <summary>Streams that are open.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Runs <paramref name="stream"/>, or refuses it when there are too many. Ends with the client.</summary>
    public async Task RunAsync(HttpContext context, Func<CancellationToken, Task> stream)
    {
        try
        {
            if (Interlocked.Increment(ref _open) > live.Options.Management.MaxStreams)
            {
                var error = new ApiError(429, "too_many_streams", "Too many clients watch already (Management:MaxStreams).") { RetryAfter = TimeSpan.FromSeconds(5) };
                await new ApiErrorResult(error).ExecuteAsync(context);
                return;
            }

            await stream(context.RequestAborted);
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }
}
