namespace LlmGateway.Gateway.Forwarding;

/// <summary>Comments at a steady pace for a client that asked not to be left in silence. One loop, started once, ended once.</summary>
/// <param name="time">The clock.</param>
/// <param name="write">Writes one comment; the next one is not due before it has returned.</param>
internal sealed class KeepAlive(TimeProvider time, Func<Task> write) : IAsyncDisposable
{
    /// <summary>How long a backend may work on the request before the client is told so.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Between two comments: below the idle limits of proxies and clients (10 s at the least), above what would cost anything.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stop = new();
    private Task? _loop;

    /// <summary>Sees to it that the first comment comes this long from now, unless the loop runs already.</summary>
    public void Start(TimeSpan due) => _loop ??= RunAsync(due);

    /// <summary>Ends the loop; no comment is written after this has returned. Idempotent.</summary>
    public async ValueTask StopAsync()
    {
        await _stop.CancelAsync();
        if (_loop is { } loop)
        {
            await loop;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _stop.Dispose();
    }

    private async Task RunAsync(TimeSpan due)
    {
        try
        {
            for (var wait = due; ; wait = Interval)
            {
                await Task.Delay(wait, time, _stop.Token);
                await write();
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // Stopped, or the client has left: whoever waits for the answer learns that by itself.
        }
    }
}
