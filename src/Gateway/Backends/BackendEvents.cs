using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Backends;

/// <summary>Tells the event feed of every change of a backend, by comparing the registry's snapshots.</summary>
internal sealed class BackendEvents : IDisposable
{
    private readonly BackendRegistry _registry;
    private readonly EventFeed _feed;

    // Touched by the registry's handler only, which runs under its lock.
    private readonly Dictionary<string, BackendEntry> _known = [];

    public BackendEvents(BackendRegistry registry, EventFeed feed)
    {
        (_registry, _feed) = (registry, feed);
        registry.Changed += Compare;
    }

    public void Dispose() => _registry.Changed -= Compare;

    private void Compare(BackendSnapshot snapshot)
    {
        foreach (var entry in snapshot.Entries)
        {
            var before = _known.GetValueOrDefault(entry.Name);
            if (!ReferenceEquals(before, entry))
            {
                _known[entry.Name] = entry;
                Tell(before, entry);
            }
        }

        var names = snapshot.Entries.Select(entry => entry.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var gone in _known.Keys.Where(name => IsOf(snapshot.Model, name) && !names.Contains(name)).ToArray())
        {
            _known.Remove(gone);
            _feed.Publish(EventKind.State, gone, $"{gone} was removed.", to: "removed");
        }
    }

    private void Tell(BackendEntry? before, BackendEntry entry)
    {
        if (entry.Replica is not { } after)
        {
            if (before?.Condition != entry.Condition)
            {
                var isReady = entry.Condition == BackendCondition.Ready;
                _feed.Publish(
                    EventKind.State, entry.Name, isReady ? $"{entry.Name} takes work." : $"{entry.Name}: {entry.NotRoutableBecause}",
                    isReady || before is null ? EventLevel.Info : EventLevel.Warning, before is null ? null : Word(before.Condition), Word(entry.Condition));
            }

            return;
        }

        if (after.LastExit is { Cause: not ExitCause.Requested } exit && !ReferenceEquals(exit, before?.Replica?.LastExit))
        {
            _feed.Publish(EventKind.Exit, entry.Name, $"{entry.Name} ended ({Names.Of(exit.Cause)}, {How(exit)}). {exit.Advice}", EventLevel.Error);
        }

        if (before?.Replica is { } old && after.Restarts > old.Restarts)
        {
            _feed.Publish(EventKind.Restart, entry.Name, $"{entry.Name} is started again{(after.RestartsInWindow > old.RestartsInWindow ? $", restart {after.RestartsInWindow} in its window" : "")}.", EventLevel.Warning);
        }

        if (before?.Replica?.State != after.State)
        {
            TellState(before?.Replica?.State, entry.Name, after);
        }
    }

    private void TellState(ReplicaState? from, string name, ReplicaStatus after)
    {
        var (kind, level, message) = after.State switch
        {
            ReplicaState.Ready => (EventKind.State, EventLevel.Info, $"{name} takes work: pid {after.Pid}, {after.Slots} slots."),
            ReplicaState.Failed => (IsPermanent(after.LastExit) ? EventKind.State : EventKind.Limit, EventLevel.Error, $"{name}: {after.NotRoutableBecause}"),
            ReplicaState.Stuck => (EventKind.State, EventLevel.Error, $"{name}: {after.NotRoutableBecause}"),
            ReplicaState.NotReady or ReplicaState.Busy or ReplicaState.Backoff or ReplicaState.Killing => (EventKind.State, EventLevel.Warning, $"{name}: {after.NotRoutableBecause}"),
            _ => (EventKind.State, EventLevel.Info, $"{name}: {after.NotRoutableBecause}"),
        };
        _feed.Publish(kind, name, message, level, from is { } state ? Names.Of(state) : null, Names.Of(after.State));
    }

    private static bool IsPermanent(ExitReport? exit) => exit?.Cause is ExitCause.ModelInvalid or ExitCause.WrongBuild or ExitCause.PermanentConfig;

    private static bool IsOf(string model, string backend) => backend.Length > model.Length && backend.LastIndexOf('/') == model.Length && backend.StartsWith(model, StringComparison.Ordinal);

    private static string How(ExitReport exit) => exit switch { { Signal: { } signal } => $"signal {signal}", { Code: { } code } => $"exit code {code}", _ => "not launched" };

    private static string Word(BackendCondition condition) => condition == BackendCondition.Ready ? "ready" : "not_ready";
}
