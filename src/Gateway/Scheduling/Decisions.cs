using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>What was decided about waiters under the lock, to be told to them after it.</summary>
internal struct Decisions
{
    private Decision? _first;
    private List<Decision>? _more;
    private List<(string Backend, BreakerChange Change)>? _changes;

    /// <summary>Steps that breakers took.</summary>
    public readonly IReadOnlyList<(string Backend, BreakerChange Change)> Changes => (IReadOnlyList<(string, BreakerChange)>?)_changes ?? [];

    public void Add(string backend, BreakerChange change) => (_changes ??= []).Add((backend, change));

    public void Add(Decision decision)
    {
        if (_first is null)
        {
            _first = decision;
        }
        else
        {
            (_more ??= []).Add(decision);
        }
    }

    public readonly void ForEach<TState>(TState state, Action<TState, Decision> action)
    {
        if (_first is { } first)
        {
            action(state, first);
        }

        if (_more is not null)
        {
            foreach (var decision in _more)
            {
                action(state, decision);
            }
        }
    }
}

/// <summary>One waiter's end of waiting.</summary>
/// <param name="Waiter">Who.</param>
/// <param name="Lease">What he gets; null when he has left.</param>
/// <param name="Outcome">In one word, for the metric.</param>
/// <param name="Waited">This time.</param>
internal readonly record struct Decision(Waiter Waiter, SlotLease? Lease, string Outcome, TimeSpan Waited);
