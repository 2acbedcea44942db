namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>Those who wait, first come first served by ticket number. Guarded by the queue's lock.</summary>
internal sealed class WaitingLine
{
    private readonly LinkedList<Waiter> _line = [];

    public int Count => _line.Count;

    /// <summary>Bytes of the bodies that wait.</summary>
    public long Bytes { get; private set; }

    public Waiter? First => _line.First?.Value;

    public IEnumerable<Waiter> All => _line;

    /// <summary>Puts a waiter in its place: at the end for a new one, before all later arrivals for one that comes back.</summary>
    public void Enter(Waiter waiter)
    {
        Bytes += waiter.Ticket.Request.Body.Length;
        if (_line.Last is null || _line.Last.Value.Ticket.Number < waiter.Ticket.Number)
        {
            waiter.Node = _line.AddLast(waiter);
            return;
        }

        var node = _line.First!;
        while (node.Value.Ticket.Number < waiter.Ticket.Number)
        {
            node = node.Next!;
        }

        waiter.Node = _line.AddBefore(node, waiter);
    }

    /// <summary>Takes a waiter out. False when it is not in the line any more: somebody else has decided about it.</summary>
    public bool Leave(Waiter waiter)
    {
        if (waiter.Node is null)
        {
            return false;
        }

        Bytes -= waiter.Ticket.Request.Body.Length;
        _line.Remove(waiter.Node);
        waiter.Node = null;
        return true;
    }
}

/// <summary>One request that waits.</summary>
internal sealed class Waiter(QueueTicket ticket, TimeSpan readyAtEntry, TimeSpan comingAtEntry)
    : TaskCompletionSource<SlotLease>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    public QueueTicket Ticket { get; } = ticket;

    /// <summary>The queue's two clocks when it entered.</summary>
    public TimeSpan ReadyAtEntry { get; } = readyAtEntry;

    public TimeSpan ComingAtEntry { get; } = comingAtEntry;

    /// <summary>Its place, or null when it is not in the line.</summary>
    public LinkedListNode<Waiter>? Node { get; set; }
}
