namespace LlmGateway.Gateway.Scheduling;

/// <summary>Tells waiters what was decided about them, and metrics and people what has happened. Never called under the queue's lock.</summary>
internal sealed class Herald(string model, SchedulingMetrics metrics)
{
    /// <summary>Whom to tell what people should know, or null.</summary>
    public SchedulingNews? News { get; set; }

    /// <summary>Tells all that was decided.</summary>
    public void Tell(in Decisions decisions)
    {
        foreach (var (backend, change) in decisions.Changes)
        {
            News?.Broke(backend, change);
        }

        decisions.ForEach(this, static (herald, decision) => herald.Tell(decision));
    }

    /// <summary>Tells of an answer that was given at once.</summary>
    public void Tell(QueueTicket ticket, SlotLease answer)
    {
        if (answer.IsAcquired)
        {
            // No wait is a wait, too: quantiles are those of all requests.
            metrics.Waited(model, ticket.Request.Priority, "granted", TimeSpan.Zero);
        }

        TellRefusal(answer);
    }

    private void Tell(Decision decision)
    {
        var waiter = decision.Waiter;
        metrics.Waited(model, waiter.Ticket.Request.Priority, decision.Outcome, decision.Waited);
        if (waiter.Foretold is { } foretold && decision.Outcome == "granted")
        {
            metrics.Foretold(model, decision.Waited - foretold);
        }

        if (decision.Lease is { } lease)
        {
            TellRefusal(lease);
            waiter.TrySetResult(lease);
            waiter.Cancellation.Unregister();
        }
    }

    private void TellRefusal(SlotLease lease)
    {
        if (lease.Refusal is { } refusal)
        {
            metrics.Rejected(model, refusal.Code);
            News?.Refused(model, refusal.Code);
        }
    }
}
