using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;

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
/// <remarks>Disposing gives it back exactly once; without <see cref="End"/> it counts as abandoned, and says nothing about the backend.</remarks>
internal sealed class SlotLease : IDisposable
{
    private readonly ModelQueue? _owner;
    private readonly Backend? _backend;
    private int _released;

    private SlotLease(ApiError refusal) => Refusal = refusal;

    private SlotLease(Backend backend, long grantedAt) => (_backend, GrantedAt) = (backend, grantedAt);

    internal SlotLease(ModelQueue owner, BackendSlots backend, QueueTicket ticket, Flow flow, int slots, long grantedAt)
    {
        (_owner, Permits, _backend, Ticket, Flow, Slots, GrantedAt) = (owner, backend, backend.Backend, ticket, flow, slots, grantedAt);
        WasAlone = backend.Leases.Count == 0;
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

    internal QueueTicket? Ticket { get; }

    /// <summary>The account that is charged.</summary>
    internal Flow? Flow { get; }

    /// <summary>True once the backend is known to work on it. Guarded by the queue's lock.</summary>
    internal bool IsStarted { get; set; }

    /// <summary>True for the one request that a half-open breaker is tried with. Guarded by the queue's lock.</summary>
    internal bool IsTrial { get; set; }

    internal LeaseEnd EndedAs { get; private set; } = LeaseEnd.Abandoned;

    internal UpstreamOutcome Outcome { get; private set; } = UpstreamOutcome.Neutral;

    /// <summary>From the grant to the first token; null before it, and for an answer that is no stream: its first byte is its last token's.</summary>
    internal TimeSpan? FirstTokenAfter { get; private set; }

    /// <summary>Tokens of the prompt, those of them that were in the server's cache, and tokens generated; or null.</summary>
    internal (long Prompt, long Cached, long Completion)? Tokens { get; private set; }

    public static SlotLease Refused(ApiError refusal) => new(refusal);

    /// <summary>For calls that only look at text: a backend, and no slot of it.</summary>
    public static SlotLease WithoutSlot(Backend backend, long now) => new(backend, now);

    /// <summary>The backend has begun to answer: one of its busy slots is ours.</summary>
    public void MarkStarted() => _owner?.MarkStarted(this);

    /// <summary>The first token has come: the prompt was read.</summary>
    /// <param name="after">Time since the grant.</param>
    public void MarkFirstToken(TimeSpan after)
    {
        FirstTokenAfter = Ticket is { Request.Stream: true } ? after : null;
        _owner?.FirstToken(this);
    }

    /// <summary>What the answer says it cost.</summary>
    public void Spend(long prompt, long cached, long completion)
    {
        Tokens = (prompt, cached, completion);
        if (Ticket is { } ticket)
        {
            ticket.Spent = (ticket.Spent ?? 0) + prompt + completion;
        }
    }

    /// <summary>Says how it ended, and what that says about the backend; the last word before disposal counts.</summary>
    public void End(LeaseEnd end, UpstreamOutcome outcome = UpstreamOutcome.Neutral) => (EndedAs, Outcome) = (end, outcome);

    public void Dispose()
    {
        if (_owner is not null && Interlocked.Exchange(ref _released, 1) == 0)
        {
            _owner.Release(this);
        }
    }
}
