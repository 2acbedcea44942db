using System.Threading.Tasks.Sources;

namespace LlmGateway.Simulator.Engine;

/// <summary>A reusable wait: one timer for all the tokens of a request, nothing allocated per token.</summary>
/// <remarks>One waiter at a time. It may wake early; the waiter looks at the clock.</remarks>
internal sealed class Pacer : IValueTaskSource, IDisposable
{
    private readonly ITimer _timer;
    private ManualResetValueTaskSourceCore<bool> _source;
    private int _armed;

    public Pacer(TimeProvider time) => _timer = time.CreateTimer(static state => ((Pacer)state!).Wake(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    /// <summary>Completes after the delay, or at <see cref="Wake"/>.</summary>
    public ValueTask WaitAsync(TimeSpan delay)
    {
        _source.Reset();
        var task = new ValueTask(this, _source.Version);
        Volatile.Write(ref _armed, 1);
        _timer.Change(delay > TimeSpan.Zero ? delay : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        return task;
    }

    /// <summary>Ends the wait, if there is one.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref _armed, 0) == 1)
        {
            _source.SetResult(true);
        }
    }

    public void Dispose() => _timer.Dispose();

    void IValueTaskSource.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}
