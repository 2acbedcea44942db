using System.Collections.Concurrent;
using System.Collections.Immutable;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Backends;

/// <summary>The only writer of backend snapshots. Sources report entries; readers take the last snapshot; the scheduler is told of each change.</summary>
internal sealed class BackendRegistry
{
    private readonly Lock _lock = new();
    private readonly ConcurrentDictionary<string, Cell> _cells = new(StringComparer.Ordinal);

    /// <summary>Raised after a model's snapshot changed, in order for one model. Handlers must not block.</summary>
    public event Action<BackendSnapshot>? Changed;

    /// <summary>The last snapshot of each model, of those that are on their way out, too.</summary>
    public IEnumerable<BackendSnapshot> Snapshots => _cells.Values.Select(cell => cell.Snapshot);

    /// <summary>The model's last snapshot; an empty one for a model that is not there.</summary>
    public BackendSnapshot Snapshot(string model) => _cells.TryGetValue(model, out var cell) ? cell.Snapshot : new(model, []);

    /// <summary>Makes room for a model's backends. Reports about a model without room are void.</summary>
    public void Add(string model) => _cells.TryAdd(model, new Cell(new BackendSnapshot(model, [])));

    /// <summary>Forgets a model: whatever still runs on its backends is over.</summary>
    public void Remove(string model)
    {
        lock (_lock)
        {
            if (!_cells.TryRemove(model, out var cell))
            {
                return;
            }

            Changed?.Invoke(new(model, []));
            foreach (var entry in cell.Snapshot.Entries)
            {
                entry.Backend?.MarkGone();
            }
        }
    }

    /// <summary>Takes out the entry of a backend that is no longer configured.</summary>
    public void Remove(string model, string backend)
    {
        Backend? removed;
        lock (_lock)
        {
            if (!_cells.TryGetValue(model, out var cell) || FindIndex(cell.Snapshot.Entries, backend) is var index && index < 0)
            {
                return;
            }

            removed = cell.Snapshot.Entries[index].Backend;
            cell.Snapshot = new(model, cell.Snapshot.Entries.RemoveAt(index));
            Changed?.Invoke(cell.Snapshot);
        }

        removed?.MarkGone();
    }

    /// <summary>The living backend of that name and generation, or null.</summary>
    public Backend? Find(string name, int generation) =>
        _cells.Values.SelectMany(cell => cell.Snapshot.Entries).Select(entry => entry.Backend)
            .FirstOrDefault(backend => backend?.Name == name && backend.Generation == generation);

    /// <summary>True when the backend's process ended by a fault of its own, not by a signal from outside.</summary>
    /// <remarks>While the entry still names the backend, its process has not ended, and the last exit is that of an earlier one.</remarks>
    public bool CrashedByItself(Backend backend) =>
        Snapshot(backend.Model).Entries.FirstOrDefault(entry => entry.Name == backend.Name && entry.Backend != backend)?.Replica?.LastExit?.Cause
            is ExitCause.Crash or ExitCause.Oom or ExitCause.Vram or ExitCause.UnexpectedExit;

    /// <summary>Puts an entry in the place of the one with its name, or adds it.</summary>
    public void Report(string model, BackendEntry entry)
    {
        Backend? replaced = null;
        lock (_lock)
        {
            if (!_cells.TryGetValue(model, out var cell))
            {
                return;
            }

            var entries = cell.Snapshot.Entries;
            var index = FindIndex(entries, entry.Name);
            if (index >= 0)
            {
                var old = entries[index];
                replaced = old.Backend == entry.Backend ? null : old.Backend;
                if (old == entry)
                {
                    return;
                }
            }

            cell.Snapshot = new(model, index < 0 ? entries.Add(entry) : entries.SetItem(index, entry));

            // Under the lock: two changes of one model reach the scheduler in the order in which they were published.
            Changed?.Invoke(cell.Snapshot);
        }

        // After the snapshot: whoever falls off the old server asks for a new one and must not be sent back.
        replaced?.MarkGone();
    }

    private static int FindIndex(ImmutableArray<BackendEntry> entries, string name)
    {
        for (var i = 0; i < entries.Length; i++)
        {
            if (entries[i].Name == name)
            {
                return i;
            }
        }

        return -1;
    }

    private sealed class Cell(BackendSnapshot snapshot)
    {
        private volatile BackendSnapshot _snapshot = snapshot;

        public BackendSnapshot Snapshot
        {
            get => _snapshot;
            set => _snapshot = value;
        }
    }
}
