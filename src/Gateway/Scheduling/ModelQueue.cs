using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Scheduling.Shedding;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>One model's queue and the permits of its backends: admission, order and placement are one decision under one short lock.</summary>
/// <remarks>
/// Invariants: a backend's leases and quarantined slots never exceed its slots; a lease is released once; nobody waits while a slot is free that may be
/// his; whoever waits holds a place until exactly one of grant, refusal or cancellation has happened; nobody is granted a slot after his time.
/// Waiters are told after the lock is left.
/// </remarks>
internal sealed class ModelQueue : IDisposable
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly Herald _herald;
    // Begins to watch a backend for slots that come back; called outside the lock.
    private readonly Action<ModelQueue, BackendSlots> _reclaim;
    private readonly ITimer _wake;

    private readonly WaitingRoom _room = new();
    private readonly SlotPool _pool;
    private readonly Turns _turns;
    private readonly QueueClocks _clocks;
    private readonly Admission _admission;
    private readonly Waits _waits;
    private Model _model;
    private BackendSnapshot _snapshot;
    private ApiError? _closed;
    private bool _isHeld;
    private long _lastUsed;
    private long _lastNumber;
    private int _retrying;
    private long _wakesAt = long.MaxValue;

    public ModelQueue(Model model, TimeProvider time, Random random, SchedulingMetrics metrics, Action<ModelQueue, BackendSlots> reclaim)
    {
        (_model, _time, _reclaim, _herald) = (model, time, reclaim, new Herald(model.Name, metrics));
        (_snapshot, _lastUsed) = (new(model.Name, []), time.GetTimestamp());
        _clocks = new QueueClocks(time);
        _pool = new SlotPool(model, time, random);
        _admission = new Admission(_room, _pool.Backends, _clocks, time, random);
        _waits = new Waits(model.Queue, _clocks, _admission, time);
        _turns = new Turns(_room, _pool.Backends, _waits.IsLate, _admission.IsTooLate, waiter => _waits.InAll(waiter) > StarvationGuard.Patience);
        _wake = time.CreateTimer(static queue => ((ModelQueue)queue!).Wake(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Whom to tell what people should know, or null.</summary>
    public SchedulingNews? News { init => _herald.News = value; }

    /// <summary>Gives a slot at once, or when it is this request's turn, or says why not.</summary>
    public ValueTask<SlotLease> AcquireAsync(QueueTicket ticket, CancellationToken cancellationToken)
    {
        SlotLease? answer;
        Waiter? waiter;
        var decisions = default(Decisions);
        lock (_lock)
        {
            answer = TryAcquire_NeedsLock(ticket, out waiter, ref decisions);
            foreach (var slots in _pool.Backends)
            {
                slots.TellWanted(_room.Count > 0);
            }
        }

        _herald.Tell(decisions);
        if (waiter is null)
        {
            _herald.Tell(ticket, answer!);
            return ValueTask.FromResult(answer!);
        }

        if (!waiter.Task.IsCompleted)
        {
            waiter.Cancellation = cancellationToken.UnsafeRegister(static (waiter, token) => ((Waiter)waiter!).Queue.Cancel((Waiter)waiter, token), waiter);
            if (waiter.Task.IsCompleted)
            {
                waiter.Cancellation.Unregister();
            }
        }

        return new ValueTask<SlotLease>(waiter.Task);
    }

    /// <summary>Asks whether a request that a living backend has failed may be tried again; see <see cref="RetryBudget"/>. It counts until its ticket is disposed.</summary>
    public bool TryRetry(QueueTicket ticket)
    {
        lock (_lock)
        {
            if (ticket.EndRetry is null)
            {
                if (!RetryBudget.Allows(_retrying, _pool.Backends.Sum(slots => slots.Leases.Count), _model.Options.Retry.BudgetRatio))
                {
                    return false;
                }

                _retrying++;
                ticket.EndRetry = EndRetry;
            }

            return true;
        }
    }

    /// <summary>Takes over a new snapshot of the model's backends.</summary>
    public void Update(BackendSnapshot snapshot)
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            _snapshot = snapshot;
            Take_NeedsLock(ref decisions);
        }

        _herald.Tell(decisions);
    }

    /// <summary>Grants nothing new until <see cref="Resume"/>. Who waits keeps waiting, on the clock of a model that loads.</summary>
    /// <param name="onlyIfIdle">Do it only when nothing runs and nobody waits; in a queue that is held already they may wait.</param>
    /// <returns>False when it was not done.</returns>
    public bool Hold(bool onlyIfIdle)
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            if (onlyIfIdle && (_isHeld ? IsBusy_NeedsLock() : IsInUse_NeedsLock()))
            {
                return false;
            }

            _isHeld = true;
            Take_NeedsLock(ref decisions);
        }

        _herald.Tell(decisions);
        return true;
    }

    /// <summary>Grants again.</summary>
    public void Resume()
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            _isHeld = false;
            Take_NeedsLock(ref decisions);
        }

        _herald.Tell(decisions);
    }

    /// <summary>Refuses those who wait now.</summary>
    public void Refuse(ApiError refusal)
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            Refuse_NeedsLock(refusal, ref decisions);
        }

        _herald.Tell(decisions);
    }

    /// <summary>Says why the model does not load, for whoever has waited too long; null takes it back.</summary>
    public void Explain(string? shortage)
    {
        lock (_lock)
        {
            _waits.Shortage = shortage;
        }
    }

    /// <summary>Notes that the model is in use by a call that takes no slot.</summary>
    public void Touch() => Volatile.Write(ref _lastUsed, _time.GetTimestamp());

    /// <summary>Takes over the model's new limits. Nobody loses a place, but whoever has waited longer than is now allowed has waited.</summary>
    public void Configure(Model model)
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            (_model, _waits.Limits) = (model, model.Queue);
            _pool.Configure(model, ref decisions);
            _room.Reschedule(_waits.Schedule);
            Expire_NeedsLock(ref decisions);
        }

        _herald.Tell(decisions);
    }

    /// <summary>Refuses everybody who waits, and everybody who comes. Leases stay until they are given back.</summary>
    public void Close(ApiError refusal)
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            _closed = refusal;
            Refuse_NeedsLock(refusal, ref decisions);
        }

        _herald.Tell(decisions);
    }

    /// <summary>Notes that the backend works on a lease's request.</summary>
    public void MarkStarted(SlotLease lease)
    {
        lock (_lock)
        {
            lease.IsStarted = true;
        }
    }

    /// <summary>Notes that a lease's first token has come.</summary>
    public void FirstToken(SlotLease lease)
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            _pool.FirstToken(lease, ref decisions);
            if (decisions.Changes.Count > 0)
            {
                HandOut_NeedsLock(ref decisions);
                Arm_NeedsLock();
            }
        }

        _herald.Tell(decisions);
    }

    /// <summary>Gives a lease's slots back and hands them on.</summary>
    public void Release(SlotLease lease)
    {
        var decisions = default(Decisions);
        var slots = lease.Permits!;
        TaskCompletionSource? idle;
        bool isQuarantined;
        lock (_lock)
        {
            isQuarantined = _pool.Return(lease, ref decisions);
            Touch();
            lease.Flow!.Ledger.Running--;
            lease.Flow.Band.Charge(lease.Flow, _admission.Learn(lease) - lease.Ticket!.Cost);
            HandOut_NeedsLock(ref decisions);
            Arm_NeedsLock();
            idle = slots.TakeIdleSignal();
        }

        _herald.Tell(decisions);
        idle?.SetResult();
        if (isQuarantined)
        {
            _reclaim(this, slots);
        }
    }

    /// <summary>Settles a backend's quarantine by what its server says it works on.</summary>
    /// <param name="slots">The backend.</param>
    /// <param name="busy">Slots that the server has busy; null when it can't tell.</param>
    /// <returns>Slots still in quarantine.</returns>
    public int Settle(BackendSlots slots, int? busy)
    {
        var decisions = default(Decisions);
        int left;
        lock (_lock)
        {
            left = _pool.Settle(slots, busy);
            HandOut_NeedsLock(ref decisions);
        }

        _herald.Tell(decisions);
        return left;
    }

    /// <summary>Whether a backend's slots are wanted: somebody waits, or no more of them are free than taken.</summary>
    /// <returns>All of its slots, and what is complete once they are wanted by a request that has come.</returns>
    public (int Total, Task WhenWanted) Demand(BackendSlots slots)
    {
        lock (_lock)
        {
            return (slots.Total, slots.WhenWanted(_room.Count > 0));
        }
    }

    /// <summary>Completes when nothing runs on that backend any more.</summary>
    public Task WhenIdle(Backend backend)
    {
        lock (_lock)
        {
            return _pool.Find(backend)?.WhenIdle() ?? Task.CompletedTask;
        }
    }

    /// <summary>Slots of that backend that are held, or given up and not yet known to be free.</summary>
    public int InFlight(Backend backend)
    {
        lock (_lock)
        {
            return _pool.Find(backend)?.Taken ?? 0;
        }
    }

    /// <summary>The numbers of this moment.</summary>
    public QueueStatus Status()
    {
        lock (_lock)
        {
            return new QueueStatus(
                _model.Name,
                _room.Count,
                _model.Queue.MaxDepth,
                _room.Bytes,
                _room.Bands.Max(_waits.Oldest),
                [.. _room.Bands.Select(band => new BandStatus(band.Priority, band.Count, band.Bytes, _waits.Oldest(band), _admission.Wait(band)))],
                _pool.Status())
            {
                IdleFor = IsInUse_NeedsLock() ? TimeSpan.Zero : _time.GetElapsedTime(_lastUsed),
                PredictedWait = _admission.Wait(_room.BandOf(Priority.Normal)),
                Breakers = _pool.Breakers(),
                Affinity = _pool.AffinityCounts(),
                Keys = [.. _room.Ledgers.Where(key => key.Waiting + key.Running > 0).Select(key => new KeyStatus(key.Name, key.Waiting, key.Running))],
            };
        }
    }

    public void Dispose() => _wake.Dispose();

    private void EndRetry()
    {
        lock (_lock)
        {
            _retrying--;
        }
    }

    private SlotLease? TryAcquire_NeedsLock(QueueTicket ticket, out Waiter? waiter, ref Decisions decisions)
    {
        waiter = null;
        if (_closed is { } closed)
        {
            return SlotLease.Refused(closed);
        }

        var request = ticket.Request;
        var flow = _room.BandOf(request.Priority).FlowOf(_room.LedgerOf(request.Key, request.Weight));
        var isNew = ticket.Number == 0;
        if (isNew)
        {
            ticket.Number = ++_lastNumber;
            _admission.Estimate(ticket, flow.Ledger);
        }

        if (_admission.IsHopeless(ticket))
        {
            return SlotLease.Refused(ApiErrors.DeadlineUnreachable(_admission.RetryAfter(flow, request.Slots)));
        }

        var isFree = _pool.Backends.Exists(static slots => slots.Free > 0);
        if (isFree && _room.Count == 0 && _turns.Place(ticket) is { } slots)
        {
            return Grant_NeedsLock(ticket, flow, slots, waited: false);
        }

        if (isNew && _pool.IsSaturated && request.Priority == Priority.Batch)
        {
            // What can wait for better times is the first to be sent away.
            return SlotLease.Refused(ApiErrors.QueueFull(_admission.RetryAfter(flow, request.Slots)));
        }

        if (_admission.Refusal(ticket, flow, isNew, _model.Queue, out var wait) is { } refusal)
        {
            return SlotLease.Refused(refusal);
        }

        waiter = _waits.Begin(this, ticket, wait);
        _room.Enter(waiter, flow);
        if (isFree)
        {
            HandOut_NeedsLock(ref decisions);
        }

        Arm_NeedsLock();
        return null;
    }

    private SlotLease Grant_NeedsLock(QueueTicket ticket, Flow flow, BackendSlots slots, bool waited)
    {
        var lease = _pool.Take(this, ticket, flow, slots, waited);
        flow.Ledger.Running++;
        flow.Band.Charge(flow, ticket.Cost);
        return lease;
    }

    private bool IsBusy_NeedsLock() => _pool.Backends.Exists(static slots => slots.Taken > 0);

    private bool IsInUse_NeedsLock() => _room.Count > 0 || IsBusy_NeedsLock();

    private void Refuse_NeedsLock(ApiError refusal, ref Decisions decisions)
    {
        while (_room.NextToExpire is { } waiter)
        {
            Leave_NeedsLock(waiter, SlotLease.Refused(refusal), "refused", ref decisions);
        }
    }

    /// <summary>Makes the backends' slots what the last snapshot says, none of them while the queue is held.</summary>
    private void Take_NeedsLock(ref Decisions decisions)
    {
        _pool.Update(_snapshot, _isHeld, ref decisions);

        // A model that is held back, or that somebody's waiting loads, is one to wait for.
        if (_clocks.Switch(_snapshot.Best is BackendCondition.Loadable || (_isHeld && _snapshot.AnyReady) ? BackendCondition.Coming : _snapshot.Best))
        {
            _room.Reschedule(_waits.Schedule);
        }

        HandOut_NeedsLock(ref decisions);
        Expire_NeedsLock(ref decisions);
    }

    private void HandOut_NeedsLock(ref Decisions decisions)
    {
        while (_turns.Next() is { } turn)
        {
            if (turn.Backend is null)
            {
                Expire_NeedsLock(turn.Waiter, ref decisions);
                continue;
            }

            Leave_NeedsLock(turn.Waiter, Grant_NeedsLock(turn.Waiter.Ticket, turn.Waiter.Flow!, turn.Backend, waited: true), "granted", ref decisions);
        }
    }

    private void Cancel(Waiter waiter, CancellationToken cancellationToken)
    {
        var decisions = default(Decisions);
        var left = false;
        lock (_lock)
        {
            if (waiter.Flow is not null)
            {
                left = true;
                Leave_NeedsLock(waiter, null, "cancelled", ref decisions);

                // It may have stood before somebody who fits.
                if (waiter.CollectsOn is not null)
                {
                    HandOut_NeedsLock(ref decisions);
                }
            }
        }

        if (left)
        {
            waiter.TrySetCanceled(cancellationToken);
        }

        _herald.Tell(decisions);
    }

    private void Wake()
    {
        var decisions = default(Decisions);
        lock (_lock)
        {
            _wakesAt = long.MaxValue;
            _pool.Recount(ref decisions);
            HandOut_NeedsLock(ref decisions);
            Expire_NeedsLock(ref decisions);
        }

        _herald.Tell(decisions);
    }

    private void Expire_NeedsLock(ref Decisions decisions)
    {
        var now = _time.GetTimestamp();
        var freed = false;
        while (_room.NextToExpire is { } waiter && waiter.ExpiresAt <= now)
        {
            freed |= waiter.CollectsOn is not null;
            Expire_NeedsLock(waiter, ref decisions);
        }

        if (freed)
        {
            HandOut_NeedsLock(ref decisions);
        }

        Arm_NeedsLock();
    }

    private void Expire_NeedsLock(Waiter waiter, ref Decisions decisions) =>
        Leave_NeedsLock(waiter, SlotLease.Refused(_waits.InVain(waiter)), "expired", ref decisions);

    private void Leave_NeedsLock(Waiter waiter, SlotLease? lease, string outcome, ref Decisions decisions)
    {
        _room.Leave(waiter);
        var waited = _waits.End(waiter);
        if (waiter.Foretold is { } foretold && outcome != "cancelled")
        {
            _admission.Waited(foretold, waited);
        }

        decisions.Add(new Decision(waiter, lease, outcome, waited));
    }

    /// <summary>Sees to it that the queue wakes when the next wait ends, or the slots that may be used change by themselves.</summary>
    private void Arm_NeedsLock()
    {
        var next = Math.Min(_room.NextToExpire?.ExpiresAt ?? long.MaxValue, _pool.NextChange());
        if (next < _wakesAt)
        {
            // A timer counts whole milliseconds: never early.
            _wakesAt = next;
            var due = Math.Ceiling(Math.Clamp(_time.GetElapsedTime(_time.GetTimestamp(), next).TotalMilliseconds, 0, int.MaxValue));
            _wake.Change(TimeSpan.FromMilliseconds(due), Timeout.InfiniteTimeSpan);
        }
    }
}
