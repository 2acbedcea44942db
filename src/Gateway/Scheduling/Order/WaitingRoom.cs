using System.Collections.Immutable;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>All who wait for one model: by band, by key, and by when their wait ends. Guarded by the queue's lock.</summary>
internal sealed class WaitingRoom
{
    private readonly Dictionary<string, KeyLedger> _ledgers = new(StringComparer.Ordinal);
    private readonly IndexedHeap<Waiter, Waiter.ByExpiry> _expiry = new();

    /// <summary>Highest first.</summary>
    public ImmutableArray<Band> Bands { get; } = [.. Enum.GetValues<Priority>().Select(priority => new Band(priority))];

    public int Count => _expiry.Count;

    public long Bytes { get; private set; }

    /// <summary>Whoever's wait ends first, or null.</summary>
    public Waiter? NextToExpire => _expiry.First;

    public IReadOnlyCollection<KeyLedger> Ledgers => _ledgers.Values;

    /// <summary>The key's account: one for each configured key that has ever asked.</summary>
    public KeyLedger LedgerOf(string key, int weight)
    {
        if (!_ledgers.TryGetValue(key, out var ledger))
        {
            _ledgers[key] = ledger = new KeyLedger(key);
        }

        ledger.Weight = weight;
        return ledger;
    }

    public Band BandOf(Priority priority) => Bands[(int)priority];

    public void Enter(Waiter waiter, Flow flow)
    {
        flow.Band.Enter(waiter, flow);
        _expiry.Add(waiter);
        Bytes += waiter.Ticket.Request.Body.Length;
    }

    /// <summary>Takes a waiter out.</summary>
    public void Leave(Waiter waiter)
    {
        waiter.Flow!.Band.Leave(waiter);
        _expiry.Remove(waiter);
        Bytes -= waiter.Ticket.Request.Body.Length;
    }

    /// <summary>Sets the end of every wait anew.</summary>
    public void Reschedule(Action<Waiter> expiresAt) => _expiry.Rebuild(expiresAt);
}
