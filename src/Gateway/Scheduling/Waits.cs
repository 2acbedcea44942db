using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Scheduling.Shedding;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>How long each has waited, how long he may, and what he is told when that is over. Guarded by the queue's lock.</summary>
internal sealed class Waits(QueueLimits limits, QueueClocks clocks, Admission admission, TimeProvider time)
{
    /// <summary>The model's limits.</summary>
    public QueueLimits Limits { get; set; } = limits;

    /// <summary>Why the model does not load, for whoever has waited too long; null when that is not known.</summary>
    public string? Shortage { get; set; }

    /// <summary>Waited since he entered this time.</summary>
    public TimeSpan ThisTime(Waiter waiter) => clocks.Ready - waiter.ReadyAtEntry + (clocks.Coming - waiter.ComingAtEntry);

    /// <summary>Waited in all.</summary>
    public TimeSpan InAll(Waiter waiter) => waiter.Ticket.Waited + ThisTime(waiter);

    /// <summary>How long the first of a band has waited.</summary>
    public TimeSpan Oldest(Band band) => band.Oldest is { } oldest ? InAll(oldest) : TimeSpan.Zero;

    /// <summary>True when a slot would come too late for him.</summary>
    public bool IsLate(Waiter waiter) => IsOver(waiter) || admission.IsHopeless(waiter.Ticket);

    /// <summary>True when his wait is over.</summary>
    public bool IsOver(Waiter waiter) => waiter.ExpiresAt <= time.GetTimestamp();

    /// <summary>A new waiter, whose wait begins now.</summary>
    public Waiter Begin(ModelQueue queue, QueueTicket ticket, TimeSpan? foretold)
    {
        var waiter = new Waiter(queue, ticket, clocks.Ready, clocks.Coming) { Foretold = foretold };
        Schedule(waiter);
        return waiter;
    }

    /// <summary>Sets when a wait is over, as things are.</summary>
    public void Schedule(Waiter waiter)
    {
        var ticket = waiter.Ticket;
        var remaining = clocks.Condition switch
        {
            BackendCondition.Ready => Limits.Timeout - ticket.WaitedReady - (clocks.Ready - waiter.ReadyAtEntry),
            BackendCondition.Coming => Limits.HoldWhileLoading - ticket.WaitedComing - (clocks.Coming - waiter.ComingAtEntry),
            _ => TimeSpan.Zero,
        };
        if (ticket.FirstTokenWithin is { } within && within - time.GetElapsedTime(ticket.Request.ArrivedAt) is var client && client < remaining)
        {
            remaining = client;
        }

        waiter.ExpiresAt = time.GetTimestamp() + (long)Math.Ceiling(remaining.TotalSeconds * time.TimestampFrequency);
    }

    /// <summary>What is said to one whose wait was in vain.</summary>
    public ApiError InVain(Waiter waiter)
    {
        var retryAfter = admission.RetryAfter(waiter.Flow!, waiter.Ticket.Request.Slots);
        return clocks.Condition switch
        {
            BackendCondition.Ready when IsOver(waiter) => ApiErrors.QueueTimeout(retryAfter),
            BackendCondition.Ready => ApiErrors.DeadlineUnreachable(retryAfter),
            BackendCondition.Failed => ApiErrors.ModelLoadingFailed(retryAfter),
            _ when Shortage is { } shortage => ApiErrors.InsufficientMemory(shortage, retryAfter),
            _ => ApiErrors.NoBackend(retryAfter),
        };
    }

    /// <summary>Writes a wait that has ended onto its ticket.</summary>
    /// <returns>Its length.</returns>
    public TimeSpan End(Waiter waiter)
    {
        var (ticket, thisTime) = (waiter.Ticket, ThisTime(waiter));
        ticket.WaitedReady += clocks.Ready - waiter.ReadyAtEntry;
        ticket.WaitedComing += clocks.Coming - waiter.ComingAtEntry;
        return thisTime;
    }
}
