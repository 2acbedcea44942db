using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>How the use of a slot ended: it decides when the slot can be handed on.</summary>
internal enum LeaseEnd
{
    /// <summary>The backend finished its answer, or never began.</summary>
    Finished,

    /// <summary>We broke off; the backend may still work on it.</summary>
    Abandoned,

    /// <summary>The backend is gone, and its slots with it.</summary>
    BackendGone,
}

/// <summary>The right to use slots of one backend, from the grant to the last byte. Or the reason why there is none.</summary>
/// <remarks>Disposing gives it back exactly once; without <see cref="End"/> it counts as abandoned.</remarks>
internal sealed class SlotLease : IDisposable
{
    private readonly ModelQueue? _owner;
    private LeaseEnd _end = LeaseEnd.Abandoned;
    private int _released;

    private readonly Backend? _backend;

    private SlotLease(ApiError refusal) => Refusal = refusal;

    private SlotLease(Backend backend, long grantedAt) => (_backend, GrantedAt) = (backend, grantedAt);

    internal SlotLease(ModelQueue owner, BackendSlots backend, int slots, long grantedAt, bool isSoleLease)
    {
        (_owner, Permits, _backend, Slots, GrantedAt) = (owner, backend, backend.Backend, slots, grantedAt);
        WasAlone = isSoleLease;
    }

    /// <summary>Why there is no slot, or null when there is one.</summary>
    public ApiError? Refusal { get; }

    public bool IsAcquired => Refusal is null;

    /// <summary>The backend to ask; only when acquired.</summary>
    public Backend Backend => _backend ?? throw new InvalidOperationException("No slot was granted.");

    public int Slots { get; }

    /// <summary>Timestamp of the grant.</summary>
    public long GrantedAt { get; }

    /// <summary>True while no other request was on the backend since the grant: if it dies, this request is the suspect.</summary>
    public bool WasAlone { get; internal set; }

    internal BackendSlots? Permits { get; }

    /// <summary>True once the backend is known to work on it. Guarded by the queue's lock.</summary>
    internal bool IsStarted { get; set; }

    public static SlotLease Refused(ApiError refusal) => new(refusal);

    /// <summary>For calls that only look at text: a backend, and no slot of it.</summary>
    public static SlotLease WithoutSlot(Backend backend, long now) => new(backend, now);

    /// <summary>The backend has begun to answer: one of its busy slots is ours.</summary>
    public void MarkStarted() => _owner?.MarkStarted(this);

    /// <summary>Says how it ended; the last word before disposal counts.</summary>
    public void End(LeaseEnd end) => _end = end;

    public void Dispose()
    {
        if (_owner is not null && Interlocked.Exchange(ref _released, 1) == 0)
        {
            _owner.Release(this, _end);
        }
    }
}
