using LlmGateway.Gateway.Backends;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Whether a broken connection meant a dead backend.</summary>
internal static class DeathNews
{
    /// <summary>How long after a broken connection the news of a dead process may take.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    /// <summary>True when the backend is gone, or the news of it comes within a moment.</summary>
    /// <exception cref="OperationCanceledException">The client has left meanwhile.</exception>
    public static async Task<bool> IsDeadAsync(Backend backend, TimeProvider time, CancellationToken aborted)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(backend.Gone, aborted);
        try
        {
            await Task.Delay(Longest, time, either.Token);
        }
        catch (OperationCanceledException)
        {
            aborted.ThrowIfCancellationRequested();
        }

        return backend.Gone.IsCancellationRequested;
    }
}
