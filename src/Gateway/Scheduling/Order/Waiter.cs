namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>One request that waits. Everything but its task is guarded by the queue's lock.</summary>
internal sealed class Waiter(ModelQueue queue, QueueTicket ticket, TimeSpan readyAtEntry, TimeSpan comingAtEntry)
    : TaskCompletionSource<SlotLease>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    private WaiterLink _inFlow;
    private WaiterLink _inBand;
    private int _place;

    public ModelQueue Queue { get; } = queue;

    public QueueTicket Ticket { get; } = ticket;

    /// <summary>The queue's two clocks when it entered.</summary>
    public TimeSpan ReadyAtEntry { get; } = readyAtEntry;

    public TimeSpan ComingAtEntry { get; } = comingAtEntry;

    /// <summary>Its key's line, or null when it waits no more: somebody has decided about it.</summary>
    public Flow? Flow { get; set; }

    /// <summary>Timestamp at which its wait is over, as things are.</summary>
    public long ExpiresAt { get; set; }

    /// <summary>The wait that was foretold when it entered, or null.</summary>
    public TimeSpan? Foretold { get; set; }

    /// <summary>For one that needs several slots: the backend on which they are collected.</summary>
    public BackendSlots? CollectsOn { get; set; }

    /// <summary>The client's leaving. Let go of once the waiter is decided.</summary>
    public CancellationTokenRegistration Cancellation { get; set; }

    /// <summary>Links it among those of its key.</summary>
    internal readonly struct ByFlow : IWaiterLink
    {
        public static ref WaiterLink Of(Waiter waiter) => ref waiter._inFlow;
    }

    /// <summary>Links it among those of its band.</summary>
    internal readonly struct ByBand : IWaiterLink
    {
        public static ref WaiterLink Of(Waiter waiter) => ref waiter._inBand;
    }

    /// <summary>Orders by the end of the wait.</summary>
    internal readonly struct ByExpiry : IHeapOrder<Waiter>
    {
        public static bool Before(Waiter a, Waiter b) => a.ExpiresAt < b.ExpiresAt;

        public static ref int Place(Waiter item) => ref item._place;
    }
}
