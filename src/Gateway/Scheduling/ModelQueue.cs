using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Scheduling.Placement;
using LlmGateway.Gateway.Scheduling.Shedding;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>One model's queue and the permits of its backends: admission, order and placement are one decision under one short lock.</summary>
/// <remarks>
/// Invariants: a backend's leases and quarantined slots never exceed its slots; a lease is released once; nobody waits while the first in line
/// fits somewhere; whoever waits holds a place in the line until exactly one of grant, refusal or cancellation has happened.
/// Waiters are completed after the lock is left.
/// </remarks>
internal sealed class ModelQueue : IDisposable
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly SchedulingMetrics _metrics;
    // Begins to watch a backend for slots that come back; called outside the lock.
    private readonly Action<ModelQueue, BackendSlots> _reclaim;
    private readonly ITimer _expiry;

    private readonly WaitingLine _line = new();
    private readonly List<BackendSlots> _backends = [];
    private readonly QueueClocks _clocks;
    private Model _model;
    private ApiError? _closed;
    private WaitEstimate _estimate;
    private long _lastNumber;
    private int _rotation;
    private TimeSpan _expiryDue = Timeout.InfiniteTimeSpan;
    private long _expiryArmedAt;

    public ModelQueue(Model model, TimeProvider time, Random random, SchedulingMetrics metrics, Action<ModelQueue, BackendSlots> reclaim)
    {
        (_model, _time, _random, _metrics, _reclaim) = (model, time, random, metrics, reclaim);
        _clocks = new QueueClocks(time);
        _expiry = time.CreateTimer(static queue => ((ModelQueue)queue!).Expire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Gives a slot at once, or when it is this request's turn, or says why not.</summary>
    public ValueTask<SlotLease> AcquireAsync(QueueTicket ticket, CancellationToken cancellationToken)
    {
        Waiter waiter;
        lock (_lock)
        {
            if (_closed is { } closed)
            {
                return ValueTask.FromResult(SlotLease.Refused(closed));
            }

            var isNew = ticket.Number == 0;
            if (isNew)
            {
                ticket.Number = ++_lastNumber;
            }

            // Whoever is first in line goes first: a free slot that the first one does not fit into is not for the others either.
            if ((_line.First is not { } first || ticket.Number < first.Ticket.Number) && TryGrant_NeedsLock(ticket) is { } lease)
            {
                return ValueTask.FromResult(lease);
            }

            if (Refusal_NeedsLock(ticket, isNew) is { } refusal)
            {
                _metrics.Rejected(_model.Name, refusal.Code);
                return ValueTask.FromResult(SlotLease.Refused(refusal));
            }

            waiter = new Waiter(ticket, _clocks.Ready, _clocks.Coming);
            _line.Enter(waiter);
            Arm_NeedsLock(Remaining_NeedsLock(waiter));
        }

        return new ValueTask<SlotLease>(WaitAsync(waiter, cancellationToken));
    }

    /// <summary>Takes over a new snapshot of the model's backends.</summary>
    public void Update(BackendSnapshot snapshot)
    {
        var done = new List<(Waiter, SlotLease)>();
        lock (_lock)
        {
            foreach (var slots in _backends)
            {
                slots.Capacity = 0;
            }

            foreach (var entry in snapshot.Entries)
            {
                if (entry.Backend is { } backend)
                {
                    var slots = _backends.Find(known => known.Backend == backend);
                    if (slots is null)
                    {
                        _backends.Add(slots = new BackendSlots(backend));
                    }

                    slots.Total = entry.Slots;
                    slots.Capacity = entry.Condition == BackendCondition.Ready ? entry.Slots : 0;
                }
            }

            // One that left the snapshot is remembered only for the leases that still name it.
            _backends.RemoveAll(slots => slots.Busy == 0 && snapshot.Entries.All(entry => entry.Backend != slots.Backend));
            _clocks.Switch(snapshot.Best);
            Pump_NeedsLock(done);
            Expire_NeedsLock(done);
        }

        Complete(done);
    }

    /// <summary>Takes over the model's new limits. Nobody loses a place, but whoever has waited longer than is now allowed has waited.</summary>
    public void Configure(Model model)
    {
        var done = new List<(Waiter, SlotLease)>();
        lock (_lock)
        {
            _model = model;
            Expire_NeedsLock(done);
        }

        Complete(done);
    }

    /// <summary>Refuses everybody who waits, and everybody who comes. Leases stay until they are given back.</summary>
    public void Close(ApiError refusal)
    {
        var done = new List<(Waiter, SlotLease)>();
        lock (_lock)
        {
            _closed = refusal;
            foreach (var waiter in _line.All.ToArray())
            {
                Leave_NeedsLock(waiter, "refused");
                done.Add((waiter, SlotLease.Refused(refusal)));
            }
        }

        Complete(done);
    }

    /// <summary>Notes that the backend works on a lease's request.</summary>
    public void MarkStarted(SlotLease lease)
    {
        lock (_lock)
        {
            lease.IsStarted = true;
        }
    }

    /// <summary>Gives a lease's slots back and hands them on.</summary>
    public void Release(SlotLease lease, LeaseEnd end)
    {
        var done = new List<(Waiter, SlotLease)>();
        var slots = lease.Permits!;
        TaskCompletionSource? idle;
        bool isQuarantined;
        lock (_lock)
        {
            slots.Busy -= lease.Slots;
            slots.Leases.Remove(lease);
            isQuarantined = end == LeaseEnd.Abandoned && slots.Backend.HasSlotsEndpoint && !slots.Backend.Gone.IsCancellationRequested;
            if (isQuarantined)
            {
                slots.Quarantined += lease.Slots;
            }

            if (end == LeaseEnd.Finished)
            {
                _estimate.Record(_time.GetElapsedTime(lease.GrantedAt));
            }

            Pump_NeedsLock(done);
            idle = slots.TakeIdleSignal();
        }

        Complete(done);
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
        // A request that was granted this long ago is at work if it is going to be: a slot was free for it.
        var certain = TimeSpan.FromMilliseconds(500);
        var done = new List<(Waiter, SlotLease)>();
        int left;
        lock (_lock)
        {
            var ours = slots.Leases.Where(lease => lease.IsStarted || _time.GetElapsedTime(lease.GrantedAt) > certain).Sum(lease => lease.Slots);
            slots.Quarantined = Math.Min(slots.Quarantined, Math.Max(0, (busy ?? 0) - ours));
            left = slots.Quarantined;
            Pump_NeedsLock(done);
        }

        Complete(done);
        return left;
    }

    /// <summary>Completes when nothing runs on that backend any more.</summary>
    public Task WhenIdle(Backend backend)
    {
        lock (_lock)
        {
            return _backends.Find(slots => slots.Backend == backend)?.WhenIdle() ?? Task.CompletedTask;
        }
    }

    /// <summary>Slots of that backend that are held, or given up and not yet known to be free.</summary>
    public int InFlight(Backend backend)
    {
        lock (_lock)
        {
            return _backends.Find(slots => slots.Backend == backend) is { } known ? known.Busy + known.Quarantined : 0;
        }
    }

    /// <summary>The numbers of this moment.</summary>
    public QueueStatus Status()
    {
        lock (_lock)
        {
            return new QueueStatus(
                _model.Name,
                _line.Count,
                _model.Queue.MaxDepth,
                _line.Bytes,
                _line.First is { } first ? Waited_NeedsLock(first) : TimeSpan.Zero,
                [.. Enum.GetValues<Priority>().Select(Band_NeedsLock)],
                [.. _backends.Select(slots => new SlotStatus(slots.Backend.Name, slots.Total, slots.Busy, slots.Quarantined))]);
        }
    }

    public void Dispose() => _expiry.Dispose();

    private async Task<SlotLease> WaitAsync(Waiter waiter, CancellationToken cancellationToken)
    {
        using var registration = cancellationToken.UnsafeRegister(_ => Cancel(waiter, cancellationToken), null);
        return await waiter.Task;
    }

    private void Cancel(Waiter waiter, CancellationToken cancellationToken)
    {
        var done = new List<(Waiter, SlotLease)>();
        bool left;
        lock (_lock)
        {
            left = Leave_NeedsLock(waiter, "cancelled");
            Pump_NeedsLock(done);
        }

        if (left)
        {
            waiter.TrySetCanceled(cancellationToken);
        }

        Complete(done);
    }

    private void Pump_NeedsLock(List<(Waiter, SlotLease)> done)
    {
        while (_line.First is { } first && TryGrant_NeedsLock(first.Ticket) is { } lease)
        {
            Leave_NeedsLock(first, "granted");
            done.Add((first, lease));
        }
    }

    private SlotLease? TryGrant_NeedsLock(QueueTicket ticket)
    {
        var request = ticket.Request;
        var candidates = Candidates_NeedsLock(ticket);
        if (candidates.Count == 0 || LeastBusy.Pick(candidates, request.Slots, _rotation++ & int.MaxValue) is not { } slots)
        {
            return null;
        }

        var lease = new SlotLease(this, slots, Math.Min(request.Slots, slots.Total), _time.GetTimestamp(), slots.Leases.Count == 0);
        foreach (var other in slots.Leases)
        {
            other.WasAlone = false;
        }

        slots.Leases.Add(lease);
        slots.Busy += lease.Slots;
        return lease;
    }

    // One that fails fast is also the least busy: without this it would get the retry as well.
    private List<BackendSlots> Candidates_NeedsLock(QueueTicket ticket)
    {
        if (ticket.Failed.Count == 0)
        {
            return _backends;
        }

        var others = _backends.FindAll(slots => slots.Capacity > 0 && !ticket.Failed.Contains(slots.Backend));
        return others.Count > 0 ? others : _backends;
    }

    private ApiError? Refusal_NeedsLock(QueueTicket ticket, bool isNew)
    {
        var retryAfter = RetryAfter_NeedsLock(_line.Count);
        return _clocks.Condition switch
        {
            BackendCondition.Stopped => ApiErrors.NoBackend(retryAfter),
            BackendCondition.Failed => ApiErrors.ModelLoadingFailed(retryAfter),
            BackendCondition.Coming when ticket.WaitedComing >= _model.Queue.HoldWhileLoading => ApiErrors.NoBackend(retryAfter),
            _ when isNew && (_line.Count >= _model.Queue.MaxDepth || _line.Bytes + ticket.Request.Body.Length > _model.Queue.MaxBytes) => ApiErrors.QueueFull(retryAfter),
            _ => null,
        };
    }

    private TimeSpan RetryAfter_NeedsLock(int ahead) =>
        WaitEstimate.RetryAfter(_estimate.Behind(ahead, _backends.Sum(slots => slots.Total)), _random.NextDouble());

    private bool Leave_NeedsLock(Waiter waiter, string outcome)
    {
        if (!_line.Leave(waiter))
        {
            return false;
        }

        var ticket = waiter.Ticket;
        ticket.WaitedReady += _clocks.Ready - waiter.ReadyAtEntry;
        ticket.WaitedComing += _clocks.Coming - waiter.ComingAtEntry;
        _metrics.Waited(_model.Name, ticket.Request.Priority, outcome, ticket.Waited);
        return true;
    }

    private BandStatus Band_NeedsLock(Priority band)
    {
        Waiter[] waiters = [.. _line.All.Where(waiter => waiter.Ticket.Request.Priority == band)];
        return new BandStatus(
            band,
            waiters.Length,
            waiters.Sum(waiter => (long)waiter.Ticket.Request.Body.Length),
            waiters.Length == 0 ? TimeSpan.Zero : Waited_NeedsLock(waiters[0]));
    }

    private TimeSpan Waited_NeedsLock(Waiter waiter) =>
        waiter.Ticket.Waited + (_clocks.Ready - waiter.ReadyAtEntry) + (_clocks.Coming - waiter.ComingAtEntry);

    /// <summary>How long this one may still wait as things are; zero or less when its wait is over.</summary>
    private TimeSpan Remaining_NeedsLock(Waiter waiter)
    {
        var ticket = waiter.Ticket;
        var remaining = _clocks.Condition switch
        {
            BackendCondition.Ready => _model.Queue.Timeout - ticket.WaitedReady - (_clocks.Ready - waiter.ReadyAtEntry),
            BackendCondition.Coming => _model.Queue.HoldWhileLoading - ticket.WaitedComing - (_clocks.Coming - waiter.ComingAtEntry),
            _ => TimeSpan.Zero,
        };
        var client = ticket.Request.FirstTokenWithin is { } within ? within - _time.GetElapsedTime(ticket.Request.ArrivedAt) : TimeSpan.MaxValue;
        return client < remaining ? client : remaining;
    }

    private void Expire()
    {
        var done = new List<(Waiter, SlotLease)>();
        lock (_lock)
        {
            Expire_NeedsLock(done);
        }

        Complete(done);
    }

    private void Expire_NeedsLock(List<(Waiter, SlotLease)> done)
    {
        _expiryDue = Timeout.InfiniteTimeSpan;
        var next = TimeSpan.MaxValue;
        foreach (var waiter in _line.All.ToArray())
        {
            var remaining = Remaining_NeedsLock(waiter);
            if (remaining > TimeSpan.Zero)
            {
                next = remaining < next ? remaining : next;
                continue;
            }

            var retryAfter = RetryAfter_NeedsLock(_line.Count);
            var refusal = _clocks.Condition switch
            {
                BackendCondition.Ready => ApiErrors.QueueTimeout(retryAfter),
                BackendCondition.Failed => ApiErrors.ModelLoadingFailed(retryAfter),
                _ => ApiErrors.NoBackend(retryAfter),
            };
            Leave_NeedsLock(waiter, "expired");
            _metrics.Rejected(_model.Name, refusal.Code);
            done.Add((waiter, SlotLease.Refused(refusal)));
        }

        if (next < TimeSpan.MaxValue)
        {
            Arm_NeedsLock(next);
        }

        // Those who left may have stood before somebody who fits.
        Pump_NeedsLock(done);
    }

    /// <summary>Sees to it that the expiry timer fires no later than <paramref name="due"/> from now.</summary>
    private void Arm_NeedsLock(TimeSpan due)
    {
        if (_expiryDue == Timeout.InfiniteTimeSpan || _time.GetElapsedTime(_expiryArmedAt) + due < _expiryDue)
        {
            // A timer counts whole milliseconds: never early.
            due = TimeSpan.FromMilliseconds(Math.Ceiling(Math.Clamp(due.TotalMilliseconds, 0, int.MaxValue)));
            (_expiryDue, _expiryArmedAt) = (due, _time.GetTimestamp());
            _expiry.Change(due, Timeout.InfiniteTimeSpan);
        }
    }

    private static void Complete(List<(Waiter Waiter, SlotLease Lease)> done)
    {
        foreach (var (waiter, lease) in done)
        {
            waiter.TrySetResult(lease);
        }
    }
}

/// <summary>A queue's numbers at one moment.</summary>
internal sealed record QueueStatus(
    string Model, int Depth, int Limit, long Bytes, TimeSpan OldestAge, ImmutableArray<BandStatus> Bands, ImmutableArray<SlotStatus> Slots)
{
    /// <summary>Of a model that has no queue.</summary>
    public static QueueStatus None(string model) => new(model, 0, 0, 0, TimeSpan.Zero, [], []);
}

/// <summary>Those who wait in one band: how many, their bodies' bytes, how long the first of them has waited.</summary>
internal sealed record BandStatus(Priority Priority, int Depth, long Bytes, TimeSpan OldestAge);

/// <summary>One backend's slots.</summary>
internal sealed record SlotStatus(string Backend, int Total, int Busy, int Quarantined);
