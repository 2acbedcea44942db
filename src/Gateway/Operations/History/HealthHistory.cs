using System.Collections.Concurrent;
using LlmGateway.Gateway.Backends;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Operations.History;

/// <summary>How each backend has been in the last quarter of an hour: one letter a step, the worst that was seen in it.</summary>
internal sealed class HealthHistory(BackendRegistry registry, TimeProvider time) : IDisposable
{
    /// <summary>From bad to good; the page knows them, too.</summary>
    private const string Severity = "FDNBLdsr";

    private readonly ConcurrentDictionary<string, TimeRing<char>> _rings = new(StringComparer.Ordinal);

    /// <summary>Begins to listen for changes; a state that lasts shorter than a look is then not missed.</summary>
    public void Start() => registry.Changed += Add;

    public void Dispose() => registry.Changed -= Add;

    /// <summary>Notes how the model's backends are now: to be called once a step or more.</summary>
    public void Add(BackendSnapshot snapshot)
    {
        var now = TimeRing<char>.StepOf(time.GetUtcNow());
        foreach (var entry in snapshot.Entries)
        {
            var letter = Letter(entry);
            var ring = _rings.GetOrAdd(entry.Name, _ => new TimeRing<char>());
            lock (ring)
            {
                ring.Change(now, now, letter, static (seen, letter) => seen == default || Severity.IndexOf(letter, StringComparison.Ordinal) < Severity.IndexOf(seen, StringComparison.Ordinal) ? letter : seen);
            }
        }
    }

    /// <summary>One letter a step, oldest first; a space where nothing is known.</summary>
    public string? Report(string backend)
    {
        if (!_rings.TryGetValue(backend, out var ring))
        {
            return null;
        }

        lock (ring)
        {
            return new string(ring.Read(TimeRing<char>.StepOf(time.GetUtcNow()))).Replace('\0', ' ');
        }
    }

    /// <summary>Forgets those that are no more.</summary>
    public void Keep(IReadOnlySet<string> names)
    {
        foreach (var name in _rings.Keys.Where(name => !names.Contains(name)))
        {
            _rings.TryRemove(name, out _);
        }
    }

    private static char Letter(BackendEntry entry) => entry.Replica?.State switch
    {
        ReplicaState.Ready => 'r',
        ReplicaState.Stopped => 's',
        ReplicaState.Draining or ReplicaState.Stopping => 'd',
        ReplicaState.Queued or ReplicaState.Starting or ReplicaState.Loading or ReplicaState.Warming => 'L',
        ReplicaState.Busy => 'B',
        ReplicaState.NotReady => 'N',
        ReplicaState.Killing or ReplicaState.Backoff => 'D',
        ReplicaState.Failed or ReplicaState.Stuck => 'F',
        _ => entry.Condition == BackendCondition.Ready ? 'r' : 'N',
    };
}
