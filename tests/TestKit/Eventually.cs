using System.Diagnostics;

namespace LlmGateway.TestKit;

/// <summary>Waits for something to become true on the other side of a process boundary, where nothing can be subscribed to.</summary>
/// <remarks>Within one process, wait for the event itself instead.</remarks>
public static class Eventually
{
    public static readonly TimeSpan DefaultLimit = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    /// <summary>Asks until the answer satisfies <paramref name="condition"/>, and returns it.</summary>
    /// <exception cref="TimeoutException">It never did; the message holds the last answer.</exception>
    public static async Task<T> GetAsync<T>(
        Func<Task<T>> ask,
        Func<T, bool> condition,
        string expected,
        CancellationToken cancellationToken,
        TimeSpan? limit = null)
    {
        var start = Stopwatch.GetTimestamp();
        using var interval = new PeriodicTimer(Interval);
        while (true)
        {
            var answer = await ask();
            if (condition(answer))
            {
                return answer;
            }

            if (Stopwatch.GetElapsedTime(start) > (limit ?? DefaultLimit))
            {
                throw new TimeoutException($"Expected {expected}, but the last answer was: {answer}");
            }

            await interval.WaitForNextTickAsync(cancellationToken);
        }
    }

    /// <summary>Asks until the answer is true.</summary>
    /// <exception cref="TimeoutException">It never was.</exception>
    public static Task TrueAsync(Func<Task<bool>> ask, string expected, CancellationToken cancellationToken, TimeSpan? limit = null) =>
        GetAsync(ask, static answer => answer, expected, cancellationToken, limit);

    /// <inheritdoc cref="TrueAsync(Func{Task{bool}}, string, CancellationToken, TimeSpan?)"/>
    public static Task TrueAsync(Func<bool> ask, string expected, CancellationToken cancellationToken, TimeSpan? limit = null) =>
        TrueAsync(() => Task.FromResult(ask()), expected, cancellationToken, limit);
}
