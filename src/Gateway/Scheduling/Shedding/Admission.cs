using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Scheduling.Placement;

namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>Who may wait: how long it would take, whether that is in time, and what a refused client is told. Guarded by the queue's lock.</summary>
internal sealed class Admission(WaitingRoom room, List<BackendSlots> backends, QueueClocks clocks, TimeProvider time, Random random)
{
    /// <summary>Slots whose ends are looked at one by one for a forecast; of more of them it is taken that they end evenly.</summary>
    private const int MostEnds = 128;

    private ServiceEstimate _estimate = new();

    /// <summary>Gives a new ticket its estimated cost.</summary>
    public void Estimate(QueueTicket ticket, KeyLedger ledger)
    {
        var request = ticket.Request;
        ticket.Prompt = request.Body.Length * _estimate.TokensPerByte;
        ticket.Cost = TokenCost.Estimate(ticket.Prompt, request.Slots, request.MaxTokens, ledger.MeanCompletion);
    }

    /// <summary>Why one for whom no slot is free may not wait for one, or null.</summary>
    /// <param name="ticket">Who.</param>
    /// <param name="flow">His key's line.</param>
    /// <param name="isNew">False for one who comes back: he has been let in before.</param>
    /// <param name="limits">The queue's limits.</param>
    /// <param name="foretold">The wait that he is foretold, or null when that is not known.</param>
    public ApiError? Refusal(QueueTicket ticket, Flow flow, bool isNew, QueueLimits limits, out TimeSpan? foretold)
    {
        var request = ticket.Request;
        var wait = Wait(flow, request.Slots);
        var retryAfter = RetryAfter(wait);
        foretold = clocks.Condition == BackendCondition.Ready && _estimate.IsTrusted ? wait : null;
        return clocks.Condition switch
        {
            BackendCondition.Stopped => ApiErrors.NoBackend(retryAfter),
            BackendCondition.Failed => ApiErrors.ModelLoadingFailed(retryAfter),
            BackendCondition.Coming when ticket.WaitedComing >= limits.HoldWhileLoading => ApiErrors.NoBackend(retryAfter),
            _ when !isNew => null,
            _ when room.Count >= limits.MaxDepth || room.Bytes + request.Body.Length > limits.MaxBytes => ApiErrors.QueueFull(retryAfter),
            _ when request.HasKey && flow.Ledger.Waiting >= limits.MaxDepthPerKey => ApiErrors.QueueFull(retryAfter),
            _ when foretold is not null && IsTooLong(wait, Patience(ticket, limits.Timeout)) => ApiErrors.DeadlineUnreachable(retryAfter),
            _ => null,
        };
    }

    /// <summary>True when the client's own limit can't be met any more, however soon a slot is had and wherever: it is over, or the prompt alone takes longer.</summary>
    public bool IsHopeless(QueueTicket ticket) => ticket.FirstTokenWithin is not null && IsTooLate(ticket, MostRead(ticket));

    /// <summary>True when a slot of that backend, had now, would come too late for the client's own limit: its server would have to read too much of the prompt first.</summary>
    public bool IsTooLate(QueueTicket ticket, BackendSlots slots) => ticket.FirstTokenWithin is not null && IsTooLate(ticket, Affinity.Of(ticket, slots));

    /// <summary>What to tell one who can't be served: the wait of one who came now.</summary>
    public TimeSpan RetryAfter(Flow flow, int slots) => RetryAfter(Wait(flow, slots));

    /// <summary>The wait of a newcomer in a line.</summary>
    public TimeSpan Wait(Flow flow, int slots) => Wait(flow.Band, flow.Slots, flow.Ledger.Weight, flow.Count == 0, slots);

    /// <summary>The wait of one who comes after all that wait in a band.</summary>
    public TimeSpan Wait(Band band) => Wait(band, band.Slots, 1, false, 1);

    /// <summary>Learns from a lease that ended. Gives what was really served, as <see cref="TokenCost"/>.</summary>
    public double Learn(SlotLease lease)
    {
        var ticket = lease.Ticket!;
        if (lease.Tokens is { } tokens)
        {
            _estimate.Tokens(tokens.Prompt, ticket.Request.Body.Length);
            lease.Flow!.Ledger.Record(tokens.Completion / Math.Max(1, ticket.Request.Slots));
        }

        if (lease.FirstTokenAfter is { } after)
        {
            _estimate.TookToFirstToken(lease.Tokens is { } known ? known.Prompt - known.Cached : ticket.Prompt, after);
        }

        var cameToNothing = lease.EndedAs == LeaseEnd.BackendGone || lease.Outcome is UpstreamOutcome.Fault or UpstreamOutcome.Backpressure;
        if (!cameToNothing && lease.Outcome != UpstreamOutcome.Client)
        {
            _estimate.Held(ticket.Cost, time.GetElapsedTime(lease.GrantedAt));
        }

        // Work that came to nothing by no fault of the client costs it nothing.
        return lease.Tokens is { } served ? TokenCost.Actual(served.Prompt - served.Cached, served.Completion) : cameToNothing ? 0 : ticket.Cost;
    }

    /// <summary>Compares a wait that has ended with what was foretold about it.</summary>
    public void Waited(TimeSpan foretold, TimeSpan waited) => _estimate.Waited(foretold, waited);

    private bool IsTooLate(QueueTicket ticket, int read) =>
        Left(ticket) is var left && (left <= TimeSpan.Zero || (_estimate.IsTrusted && left < FirstToken(ticket, read)));

    /// <summary>What is left of the client's own limit.</summary>
    private TimeSpan Left(QueueTicket ticket) => ticket.FirstTokenWithin!.Value - time.GetElapsedTime(ticket.Request.ArrivedAt);

    /// <summary>From the grant to the first token, on a server that has read so many bytes of the prompt.</summary>
    private TimeSpan FirstToken(QueueTicket ticket, int read) =>
        TimeSpan.FromSeconds(_estimate.FirstToken(ticket.Prompt * Math.Max(0, 1 - ((double)read / Math.Max(1, ticket.Request.Body.Length)))));

    /// <summary>How long one may wait and still be served in time.</summary>
    private TimeSpan Patience(QueueTicket ticket, TimeSpan most) =>
        ticket.FirstTokenWithin is not null && Left(ticket) - FirstToken(ticket, MostRead(ticket)) is var own && own < most ? own : most;

    /// <summary>Waits have lately been longer than foretold: twice that is allowed for, but no more than a fifth of the patience.</summary>
    private bool IsTooLong(TimeSpan wait, TimeSpan patience)
    {
        var usual = TimeSpan.FromSeconds(2 * _estimate.Lateness);
        return wait + (usual < patience / 5 ? usual : patience / 5) > patience;
    }

    /// <summary>Bytes of the prompt that some server which takes work has read: it may not have to be read again.</summary>
    private int MostRead(QueueTicket ticket)
    {
        var most = 0;
        for (var i = 0; ticket.HasPrefix && i < backends.Count; i++)
        {
            most = backends[i].IsReady ? Math.Max(most, Affinity.Of(ticket, backends[i])) : most;
        }

        return most;
    }

    private TimeSpan RetryAfter(TimeSpan wait) => WaitForecast.RetryAfter(wait, random.NextDouble());

    private TimeSpan Wait(Band band, int ofKey, int weight, bool isNewKey, int slots)
    {
        var ahead = WaitForecast.Ahead(band.Slots, ofKey, weight, band.Weights + (isNewKey ? weight : 0));
        var (count, cost) = (0, 0.0);
        foreach (var other in room.Bands)
        {
            if (other.Priority <= band.Priority)
            {
                ahead += other == band ? 0 : other.Slots;
                count += other.Count;
                cost += other.Cost;
            }
        }

        Span<double> busy = stackalloc double[MostEnds];
        var (taken, capacity) = Busy(busy);
        var hold = count == 0 ? _estimate.UsualHold : _estimate.Hold(cost / count);
        return taken > MostEnds
            ? TimeSpan.FromSeconds(hold * (ahead + slots) / capacity)
            : WaitForecast.Wait(ahead, slots, hold, busy[..taken], capacity);
    }

    /// <summary>Seconds until each busy slot comes free, when there are not too many to look at each; those in quarantine come free any moment.</summary>
    private (int Taken, int Capacity) Busy(Span<double> busy)
    {
        var (taken, capacity) = (0, 0);
        foreach (var backend in backends)
        {
            taken += backend.Capacity - backend.Free;
            capacity += backend.Capacity;
        }

        if (taken <= busy.Length)
        {
            Ends(busy[..taken]);
        }

        return (taken, capacity);
    }

    private void Ends(Span<double> busy)
    {
        var (at, now) = (0, time.GetTimestamp());
        foreach (var backend in backends)
        {
            if (backend.Capacity == 0)
            {
                continue;
            }

            foreach (var lease in backend.Leases)
            {
                var left = Math.Max(0, _estimate.Hold(lease.Ticket!.Cost) - time.GetElapsedTime(lease.GrantedAt, now).TotalSeconds);
                for (var i = 0; i < lease.Slots && at < busy.Length; i++)
                {
                    busy[at++] = left;
                }
            }
        }
    }
}
