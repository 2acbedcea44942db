namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>Those of one key that wait in one band, in order of arrival, and how much the key has been served there. Guarded by the queue's lock.</summary>
/// <remarks>The counter is that of "Fairness in Serving Large Language Models" (OSDI'24): cost served divided by the key's weight.</remarks>
internal sealed class Flow(Band band, KeyLedger ledger)
{
    private int _place;

    // Kept here: orders compare it often, and the waiter itself is two steps away in memory.
    private long _firstNumber;

    public Band Band { get; } = band;

    public KeyLedger Ledger { get; } = ledger;

    /// <summary>Cost served so far, divided by the weight.</summary>
    public double Served { get; private set; }

    public WaiterList<Waiter.ByFlow> Line { get; } = new();

    public int Count { get; private set; }

    /// <summary>Slots that its waiters ask for together.</summary>
    public int Slots { get; private set; }

    public void Enter(Waiter waiter)
    {
        Line.Enter(waiter);
        Count++;
        Slots += waiter.Ticket.Request.Slots;
        NoteFirst();
    }

    public void Leave(Waiter waiter)
    {
        Line.Leave(waiter);
        Count--;
        Slots -= waiter.Ticket.Request.Slots;
        NoteFirst();
    }

    /// <summary>Nobody saves up service while he asks for none.</summary>
    public void Lift(double level) => Served = Math.Max(Served, level);

    /// <summary>Puts a cost on the account; a negative one gives it back.</summary>
    public void Charge(double cost) => Served += cost / Ledger.Weight;

    /// <summary>True when its first has waited longer. Both have somebody who waits.</summary>
    public bool CameBefore(Flow other) => _firstNumber < other._firstNumber;

    private void NoteFirst() => _firstNumber = Line.First?.Ticket.Number ?? 0;

    /// <summary>Orders by least served, then by who has waited longest.</summary>
    internal readonly struct LeastServed : IHeapOrder<Flow>
    {
        public static bool Before(Flow a, Flow b) => a.Served != b.Served ? a.Served < b.Served : a.CameBefore(b);

        public static ref int Place(Flow item) => ref item._place;
    }
}
