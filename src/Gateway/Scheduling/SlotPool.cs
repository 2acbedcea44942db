using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Scheduling.Placement;
using LlmGateway.Gateway.Scheduling.Shedding;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>The permits of a model's backends: how many there are, who has them, and what stands in the way of the rest. Guarded by the queue's lock.</summary>
/// <remarks>A breaker belongs to a name, not to one life of a process: what failed and was started again is tried with care.</remarks>
internal sealed class SlotPool(Model model, TimeProvider time, Random random)
{
    /// <summary>Shorter answers say little about the time that a token takes.</summary>
    private const int LeastTokens = 8;

    private readonly long _start = time.GetTimestamp();
    private readonly Dictionary<string, BackendRecord> _records = new(StringComparer.Ordinal);
    private readonly long[] _affinity = new long[Enum.GetValues<AffinityResult>().Length];
    private Model _model = model;
    private int _saturated;
    private int _restless;
    private bool _isHeld;

    /// <summary>All that take work or that somebody still holds slots of.</summary>
    public List<BackendSlots> Backends { get; } = [];

    /// <summary>True while a backend bears less than it has slots: then those of the lowest band may not wait.</summary>
    public bool IsSaturated => _saturated > 0;

    private TimeSpan Now => time.GetElapsedTime(_start);

    /// <summary>Takes over a new snapshot of the model's backends.</summary>
    /// <param name="snapshot">What is known of them now.</param>
    /// <param name="isHeld">True while nothing new is to be granted.</param>
    /// <param name="decisions">What is to be told.</param>
    public void Update(BackendSnapshot snapshot, bool isHeld, ref Decisions decisions)
    {
        _isHeld = isHeld;
        foreach (var slots in Backends)
        {
            slots.IsReady = false;
            slots.Capacity = 0;
        }

        foreach (var entry in snapshot.Entries)
        {
            if (!_records.TryGetValue(entry.Name, out var record))
            {
                _records[entry.Name] = record = new BackendRecord(entry.Name, NewBreaker());
            }

            Follow(record, entry, ref decisions);
        }

        // Looked up, not searched for: with a thousand backends each report of one of them comes here.
        var names = snapshot.Entries.Select(entry => entry.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var name in _records.Keys.Where(name => !names.Contains(name)).ToArray())
        {
            Forget(_records[name]);
            _records.Remove(name);
        }

        // One that left the snapshot is remembered only for the leases that still name it.
        var present = snapshot.Entries.Select(entry => entry.Backend).ToHashSet();
        Backends.RemoveAll(slots => slots.Busy == 0 && !present.Contains(slots.Backend));
        Recount(ref decisions);
    }

    /// <summary>Takes over changed options. Breakers begin anew when it is theirs that have changed.</summary>
    public void Configure(Model model, ref Decisions decisions)
    {
        var isOther = model.Options.Breaker != _model.Options.Breaker || model.Options.SlowStart != _model.Options.SlowStart;
        _model = model;
        if (isOther)
        {
            foreach (var record in _records.Values)
            {
                record.Breaker = NewBreaker();
            }
        }

        Recount(ref decisions);
    }

    public BackendSlots? Find(Backend backend) => Backends.Find(slots => slots.Backend == backend);

    /// <summary>Gives slots of a backend where the request fits.</summary>
    /// <param name="owner">Whose lease it is.</param>
    /// <param name="ticket">Who gets it.</param>
    /// <param name="flow">The account that is charged.</param>
    /// <param name="slots">The backend.</param>
    /// <param name="waited">True when the slot was waited for.</param>
    public SlotLease Take(ModelQueue owner, QueueTicket ticket, Flow flow, BackendSlots slots, bool waited)
    {
        Remember(ticket, slots, waited);
        foreach (var other in slots.Leases)
        {
            other.WasAlone = false;
        }

        var lease = new SlotLease(owner, slots, ticket, flow, Math.Min(ticket.Request.Slots, slots.Total), time.GetTimestamp());
        slots.Leases.Add(lease);
        slots.Busy += lease.Slots;
        if (_records.GetValueOrDefault(slots.Backend.Name) is { Breaker.State: BreakerState.HalfOpen } record && record.Current == slots)
        {
            lease.IsTrial = true;
            record.Breaker.Try();
            Recount(record);
        }

        return lease;
    }

    /// <summary>Takes a lease's slots back, or closes them until the server has let go of them.</summary>
    /// <returns>True when they are closed: somebody must watch the server.</returns>
    public bool Return(SlotLease lease, ref Decisions decisions)
    {
        var slots = lease.Permits!;
        slots.Busy -= lease.Slots;
        slots.Leases.Remove(lease);
        var isQuarantined = lease.EndedAs == LeaseEnd.Abandoned && slots.Backend.HasSlotsEndpoint && !slots.Backend.Gone.IsCancellationRequested;
        slots.Quarantined += isQuarantined ? lease.Slots : 0;
        Learn(lease, slots.Backend.Gone.IsCancellationRequested && lease.Outcome == UpstreamOutcome.Fault ? UpstreamOutcome.Neutral : lease.Outcome, ref decisions);
        return isQuarantined;
    }

    /// <summary>The first token is a success already: an answer may take an hour.</summary>
    public void FirstToken(SlotLease lease, ref Decisions decisions)
    {
        lease.IsStarted = true;
        if (lease.IsTrial)
        {
            Learn(lease, UpstreamOutcome.Ok, ref decisions, isCounted: false);
        }
    }

    /// <summary>Sets a backend's quarantine by what its server says it works on. Gives the slots that are still closed.</summary>
    public int Settle(BackendSlots slots, int? busy)
    {
        // A request that was granted this long ago is at work if it is going to be: a slot was free for it.
        var certain = TimeSpan.FromMilliseconds(500);
        var ours = slots.Leases.Where(lease => lease.IsStarted || time.GetElapsedTime(lease.GrantedAt) > certain).Sum(lease => lease.Slots);
        slots.Quarantined = Math.Min(slots.Quarantined, Math.Max(0, (busy ?? 0) - ours));
        if (_records.GetValueOrDefault(slots.Backend.Name) is { } record && record.Current == slots)
        {
            Recount(record);
        }

        return slots.Quarantined;
    }

    /// <summary>Counts anew what may be used: time has passed, or something has changed.</summary>
    public void Recount(ref Decisions decisions)
    {
        var now = Now;
        foreach (var record in _records.Values)
        {
            Note(record, record.Breaker.Look(now), ref decisions);
            Recount(record);
        }

        if (_isHeld || Backends.Exists(static slots => slots.Capacity > 0))
        {
            return;
        }

        foreach (var record in _records.Values)
        {
            if (record.Current is { IsReady: true })
            {
                Note(record, record.Breaker.IsLastHope(), ref decisions);
                Recount(record);
            }
        }
    }

    /// <summary>Timestamp at which the count changes by itself, or the end of time.</summary>
    public long NextChange()
    {
        if (_restless == 0)
        {
            return long.MaxValue;
        }

        var (now, next) = (Now, TimeSpan.MaxValue);
        foreach (var record in _records.Values)
        {
            next = record.Current is { IsReady: true } current && record.Breaker.NextChange(current.Total, now) is { } change && change < next ? change : next;
            next = record.Current is { IsReady: true } && record.Saturation.NextChange is { } calm && calm > now && calm < next ? calm : next;
        }

        return next == TimeSpan.MaxValue ? long.MaxValue : _start + (long)Math.Ceiling(next.TotalSeconds * time.TimestampFrequency);
    }

    public ImmutableArray<SlotStatus> Status() => [.. Backends.Select(slots => new SlotStatus(slots.Backend.Name, slots.Total, slots.Busy, slots.Quarantined)
    {
        Usable = slots.Capacity,
        LimitedBecause = slots.IsReady && _records.GetValueOrDefault(slots.Backend.Name) is { } record && record.Current == slots
            ? Restraint.Of(slots, record.Breaker, record.Saturation.Less, _isHeld, Now)
            : null,
    })];

    /// <summary>Requests so far by what became of their prompts' beginnings, by <see cref="AffinityResult"/>.</summary>
    public ImmutableArray<long> AffinityCounts() => [.. _affinity];

    public ImmutableArray<BreakerStatus> Breakers() =>
        [.. _records.Values.Select(record => new BreakerStatus(record.Name, record.Breaker.State, [.. record.Outcomes], record.Changes.ToImmutableDictionary()) { SaturatedSlots = record.Saturation.Less })];

    /// <summary>The server is about to read the prompt.</summary>
    private void Remember(QueueTicket ticket, BackendSlots slots, bool waited)
    {
        if (!ticket.HasPrefix)
        {
            return;
        }

        var result = Affinity.Of(ticket, slots) > 0 ? waited ? AffinityResult.ScanHit : AffinityResult.PlacedHit
            : Backends.Exists(other => other.IsReady && Affinity.Of(ticket, other) > 0) ? AffinityResult.OverriddenByLoad
            : AffinityResult.Miss;
        _affinity[(int)result]++;
        slots.Memory.Remember(ticket.Request.Prefix, ticket.Request.Session);
    }

    private static void Count<T>(Dictionary<T, long> counts, T what)
        where T : notnull => counts[what] = counts.GetValueOrDefault(what) + 1;

    private Breaker NewBreaker() => new(_model.Options.Breaker, _model.Options.SlowStart);

    /// <summary>Compares an entry with what was known of its name: did its process end, has it come back?</summary>
    private void Follow(BackendRecord record, BackendEntry entry, ref Decisions decisions)
    {
        if (record.Current is { } current && current.Backend != entry.Backend)
        {
            record.Current = null;
            record.WasReady = false;
            Forget(record);
            if (entry.Replica?.LastExit?.Cause == ExitCause.Requested)
            {
                // We ended it ourselves: nothing is wrong with it.
                record.Breaker = NewBreaker();
            }
            else
            {
                Note(record, record.Breaker.Exited(), ref decisions);
            }
        }

        if (entry.Backend is not { } backend)
        {
            return;
        }

        if (record.Current is null)
        {
            Backends.Add(record.Current = new BackendSlots(backend));
        }

        record.Current.Total = entry.Slots;
        record.Current.IsReady = entry.Condition == BackendCondition.Ready;
        if (record.Current.IsReady && !record.WasReady)
        {
            Note(record, record.Breaker.Ready(), ref decisions);
        }

        record.WasReady = record.Current.IsReady;
    }

    private void Learn(SlotLease lease, UpstreamOutcome outcome, ref Decisions decisions, bool isCounted = true)
    {
        if (_records.GetValueOrDefault(lease.Backend.Name) is not { } record)
        {
            return;
        }

        record.Outcomes[(int)outcome] += isCounted ? 1 : 0;
        if (record.Current is { } current && current == lease.Permits)
        {
            var isLast = IsLast(current);
            Note(record, record.Breaker.Record(outcome, lease.IsTrial, isLast, Now, random.NextDouble()), ref decisions);
            if (isCounted && outcome == UpstreamOutcome.Ok && lease is { FirstTokenAfter: { } first, Tokens: { } tokens })
            {
                Measure(record.Saturation, lease, first, tokens, current.Leases.Count);
            }

            lease.IsTrial = false;
            Recount(record);
        }
    }

    private void Measure(Saturation saturation, SlotLease lease, TimeSpan first, (long Prompt, long Cached, long Completion) tokens, int beside)
    {
        saturation.RecordFirst(first.TotalSeconds, tokens.Prompt - tokens.Cached, beside);
        if (tokens.Completion >= LeastTokens && lease.Ticket!.Request.IsOneAnswer)
        {
            saturation.Record((time.GetElapsedTime(lease.GrantedAt) - first).TotalSeconds, tokens.Completion - 1, beside);
        }
    }

    private static void Note(BackendRecord record, BreakerChange? change, ref Decisions decisions)
    {
        if (change is { } step)
        {
            Count(record.Changes, step);
            decisions.Add(record.Name, step);
        }
    }

    private void Recount(BackendRecord record)
    {
        if (record.Current is { } slots)
        {
            slots.Capacity = slots.IsReady && !_isHeld ? Capacity(record, slots) : 0;
        }

        var isRestless = record.Current is { IsReady: true } current && (record.Saturation.NextChange is not null || record.Breaker.NextChange(current.Total, Now) is not null);
        _restless += (isRestless ? 1 : 0) - (record.IsRestless ? 1 : 0);
        record.IsRestless = isRestless;
    }

    private bool IsLast(BackendSlots slots)
    {
        foreach (var other in Backends)
        {
            if (other != slots && other.Capacity > 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Another server bears the name, or none: what the old one bore says nothing of it.</summary>
    private void Forget(BackendRecord record)
    {
        _saturated -= record.Saturation.Less;
        record.Saturation = new Saturation();
        _restless -= record.IsRestless ? 1 : 0;
        record.IsRestless = false;
    }

    private int Capacity(BackendRecord record, BackendSlots slots)
    {
        _saturated -= record.Saturation.Less;
        record.Saturation.Look(slots.Total, record.Breaker.Faults(Now), Now);
        _saturated += record.Saturation.Less;
        var capacity = record.Breaker.Capacity(slots.Total, slots.Taken, Now);
        return Math.Min(capacity, Math.Max(1, slots.Total - record.Saturation.Less));
    }

    /// <summary>What is remembered of one backend's name.</summary>
    private sealed class BackendRecord(string name, Breaker breaker)
    {
        public string Name { get; } = name;

        public Breaker Breaker { get; set; } = breaker;

        /// <summary>The server that bears the name now, or null.</summary>
        public BackendSlots? Current { get; set; }

        public bool WasReady { get; set; }

        /// <summary>True while its slots may change without any event: a break ends, a ramp goes on.</summary>
        public bool IsRestless { get; set; }

        /// <summary>Of the server that bears the name now.</summary>
        public Saturation Saturation { get; set; } = new();

        public long[] Outcomes { get; } = new long[Enum.GetValues<UpstreamOutcome>().Length];

        public Dictionary<BreakerChange, long> Changes { get; } = [];
    }
}
