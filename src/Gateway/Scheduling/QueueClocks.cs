using LlmGateway.Gateway.Backends;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Two clocks of one queue: one runs while a backend is ready, the other while none is but one is coming. Guarded by the queue's lock.</summary>
/// <remarks>Waiting for a free slot and waiting for a model to load are limited apart, so a wait that sees both must be measured apart.</remarks>
internal sealed class QueueClocks(TimeProvider time)
{
    private long _since = time.GetTimestamp();
    private TimeSpan _ready;
    private TimeSpan _coming;

    public BackendCondition Condition { get; private set; } = BackendCondition.Stopped;

    public TimeSpan Ready => _ready + (Condition == BackendCondition.Ready ? time.GetElapsedTime(_since) : TimeSpan.Zero);

    public TimeSpan Coming => _coming + (Condition == BackendCondition.Coming ? time.GetElapsedTime(_since) : TimeSpan.Zero);

    /// <summary>Sets which clock runs. True when it is another one than before.</summary>
    public bool Switch(BackendCondition condition)
    {
        (_ready, _coming) = (Ready, Coming);
        _since = time.GetTimestamp();
        var isOther = condition != Condition;
        Condition = condition;
        return isOther;
    }
}
