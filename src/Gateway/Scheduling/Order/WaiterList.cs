namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>A waiter's neighbours in one list.</summary>
internal struct WaiterLink
{
    public Waiter? Previous;
    public Waiter? Next;
}

/// <summary>Which of a waiter's links a list uses.</summary>
internal interface IWaiterLink
{
    static abstract ref WaiterLink Of(Waiter waiter);
}

/// <summary>Waiters by order of arrival, linked through the waiters themselves: no allocation, and leaving from anywhere costs the same. Not safe for threads.</summary>
internal sealed class WaiterList<TLink>
    where TLink : IWaiterLink
{
    public Waiter? First { get; private set; }

    public Waiter? Last { get; private set; }

    /// <summary>Whoever comes after that one, or null.</summary>
    public static Waiter? After(Waiter waiter) => TLink.Of(waiter).Next;

    /// <summary>Puts a waiter in its place: last for a new one, before all later arrivals for one that comes back.</summary>
    public void Enter(Waiter waiter)
    {
        if (Last is null || Last.Ticket.Number < waiter.Ticket.Number)
        {
            Insert(Last, waiter, null);
            return;
        }

        // One that comes back was among the first: few are before it.
        var next = First!;
        while (next.Ticket.Number < waiter.Ticket.Number)
        {
            next = TLink.Of(next).Next!;
        }

        Insert(TLink.Of(next).Previous, waiter, next);
    }

    public void Leave(Waiter waiter)
    {
        var (previous, next) = (TLink.Of(waiter).Previous, TLink.Of(waiter).Next);
        TLink.Of(waiter) = default;
        Join(previous, next);
    }

    private void Insert(Waiter? previous, Waiter waiter, Waiter? next)
    {
        Join(previous, waiter);
        Join(waiter, next);
    }

    /// <summary>Makes two waiters neighbours; null stands for the end of the list.</summary>
    private void Join(Waiter? previous, Waiter? next)
    {
        if (previous is null)
        {
            First = next;
        }
        else
        {
            TLink.Of(previous).Next = next;
        }

        if (next is null)
        {
            Last = previous;
        }
        else
        {
            TLink.Of(next).Previous = previous;
        }
    }
}
