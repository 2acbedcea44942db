using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Operations;

/// <summary>Whether the gateway takes new work, and what is still in it.</summary>
internal sealed class Lifecycle(LiveCatalogue catalogue, BackendRegistry registry, TimeProvider time)
{
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _inFlight;
    private volatile bool _isDraining;

    public DateTimeOffset StartedAt { get; } = time.GetUtcNow();

    public TimeSpan Uptime => time.GetUtcNow() - StartedAt;

    /// <summary>True once the gateway was asked to stop: no new work.</summary>
    public bool IsDraining => _isDraining;

    /// <summary>True when at least one model can take work.</summary>
    public bool CanTakeWork => catalogue.Current.Models.Any(CanTake);

    /// <summary>A request is answered by a backend that is ready, or by a model that its coming loads.</summary>
    private bool CanTake(Model model) => registry.Snapshot(model.Name).Best switch
    {
        BackendCondition.Ready or BackendCondition.Loadable => true,
        BackendCondition.Coming => model.Options.Load == LoadMode.OnDemand || model.Options.Group is not null,
        _ => false,
    };

    /// <summary>True when the gateway should be sent traffic.</summary>
    public bool IsReady => !IsDraining && (catalogue.Current.Models.IsEmpty || CanTakeWork);

    /// <summary>Counts a request in, or says why it may not come in; then it must not <see cref="Leave"/> either.</summary>
    public ApiError? Enter()
    {
        // Counted first, then looked: a drain that begins meanwhile sees either the count or a refusal.
        var inFlight = Interlocked.Increment(ref _inFlight);
        var refusal = IsDraining ? ApiErrors.ShuttingDown
            : inFlight > catalogue.Options.Gateway.MaxConcurrentRequests ? ApiErrors.ConcurrencyLimited(TimeSpan.FromSeconds(1))
            : null;
        if (refusal is not null)
        {
            Leave();
        }

        return refusal;
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _inFlight) == 0 && IsDraining)
        {
            _idle.TrySetResult();
        }
    }

    /// <summary>Takes no new work from now on; completes when what is in the gateway has ended.</summary>
    public Task DrainAsync()
    {
        _isDraining = true;
        if (Volatile.Read(ref _inFlight) == 0)
        {
            _idle.TrySetResult();
        }

        return _idle.Task;
    }

    /// <summary>Requests in the gateway, queued ones included.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);
}
