namespace LlmGateway.Simulator.Injection;

/// <summary>The faults in force; changing them wakes whoever waits for a change.</summary>
internal sealed class FaultSwitch(Faults initial)
{
    private readonly Lock _lock = new();
    private volatile Faults _current = initial;
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Faults Current => _current;

    /// <summary>Completes at the next change. Take it before reading <see cref="Current"/>, or a change in between is missed.</summary>
    public Task Changed => _changed.Task;

    public Faults Update(Func<Faults, Faults> change)
    {
        TaskCompletionSource changed;
        Faults now;
        lock (_lock)
        {
            now = _current = change(_current);
            (changed, _changed) = (_changed, new(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        changed.SetResult();
        return now;
    }
}
