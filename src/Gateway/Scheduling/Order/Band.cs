using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>Those of one priority that wait: a line for each key, the least served key first. Guarded by the queue's lock.</summary>
internal sealed class Band(Priority priority)
{
    /// <summary>Requests of a key that are few, if they are no more than half of all.</summary>
    private const int Few = 8;

    /// <summary>By how many usual costs a key with few may be ahead of the least served and still go first.</summary>
    private const double Slack = 4;

    private readonly Dictionary<string, Flow> _flows = new(StringComparer.Ordinal);
    private readonly IndexedHeap<Flow, Flow.LeastServed> _order = new();
    private readonly WaiterList<Waiter.ByBand> _line = new();
    private double _level;

    public Priority Priority { get; } = priority;

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>Slots that its waiters ask for together.</summary>
    public int Slots { get; private set; }

    /// <summary>Estimated cost of all that waits.</summary>
    public double Cost { get; private set; }

    /// <summary>Weights of the keys that wait, together.</summary>
    public int Weights { get; private set; }

    /// <summary>Whoever came first, or null.</summary>
    public Waiter? Oldest => _line.First;

    /// <summary>The least that any key in service has been served: where a newcomer starts.</summary>
    private double Level => _order.First is { } first ? Math.Max(_level, first.Served) : _level;

    /// <summary>The key's line, ready for a newcomer: one that was empty starts level with the least served of the others.</summary>
    public Flow FlowOf(KeyLedger ledger)
    {
        if (!_flows.TryGetValue(ledger.Name, out var flow))
        {
            _flows[ledger.Name] = flow = new Flow(this, ledger);
        }

        if (flow.Count == 0)
        {
            flow.Lift(Level);
        }

        return flow;
    }

    public void Enter(Waiter waiter, Flow flow)
    {
        var request = waiter.Ticket.Request;
        waiter.Flow = flow;
        flow.Enter(waiter);
        _line.Enter(waiter);
        if (flow.Count == 1)
        {
            _order.Add(flow);
            Weights += flow.Ledger.Weight;
        }
        else
        {
            _order.Moved(flow);
        }

        flow.Ledger.Waiting++;
        Count++;
        Bytes += request.Body.Length;
        Slots += request.Slots;
        Cost += waiter.Ticket.Cost;
    }

    public void Leave(Waiter waiter)
    {
        var flow = waiter.Flow!;
        var request = waiter.Ticket.Request;
        waiter.Flow = null;
        if (flow.Count == 1)
        {
            // Out of the order while it still has somebody to be ordered by.
            _order.Remove(flow);
            Weights -= flow.Ledger.Weight;
            flow.Leave(waiter);
        }
        else
        {
            flow.Leave(waiter);
            _order.Moved(flow);
        }

        _line.Leave(waiter);
        flow.Ledger.Waiting--;
        Count--;
        Bytes -= request.Body.Length;
        Slots -= request.Slots;
        Cost = Count == 0 ? 0 : Cost - waiter.Ticket.Cost;
    }

    /// <summary>Puts a cost on a key's account; a negative one gives it back.</summary>
    public void Charge(Flow flow, double cost)
    {
        var before = flow.Served;
        flow.Charge(cost);
        _order.Moved(flow);
        _level = Math.Max(Level, _order.Count == 0 ? Math.Min(before, flow.Served) : 0);
    }

    /// <summary>The keys that wait, whose turn it is first; see <see cref="IndexedHeap{T, TOrder}.Peek"/>.</summary>
    /// <remarks>
    /// The least served is first, but those with few requests go before it, in order of arrival, while they are not much further: so a few at once cost a
    /// key that asks for less than its share no more than the next slots that come free. A long line waits for itself anyhow.
    /// </remarks>
    public int Peek(Span<Flow?> flows)
    {
        var found = _order.Peek(flows);
        if (found < 2)
        {
            return found;
        }

        // Sorted by insertion: there are a handful.
        var most = flows[0]!.Served + (Slack * Cost / Count);
        for (var next = 1; next < found && flows[next]!.Served <= most; next++)
        {
            var (flow, at) = (flows[next]!, next);
            for (; at > 0 && HasFew(flow) && !(HasFew(flows[at - 1]!) && flows[at - 1]!.CameBefore(flow)); at--)
            {
                flows[at] = flows[at - 1];
            }

            flows[at] = flow;
        }

        return found;
    }

    private bool HasFew(Flow flow) => flow.Count <= Few && 2 * flow.Count <= Count;
}
