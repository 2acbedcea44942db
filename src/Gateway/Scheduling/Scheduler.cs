using System.Collections.Frozen;
using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Gives each request the right to a slot, in order: a queue per model, late binding to a backend.</summary>
internal sealed class Scheduler : IDisposable
{
    private readonly FrozenDictionary<string, ModelQueue> _queues;
    private readonly BackendRegistry _registry;

    public Scheduler(ModelCatalogue catalogue, BackendRegistry registry, SlotReclaimer reclaimer, SchedulingMetrics metrics, TimeProvider time)
    {
        _registry = registry;
        _queues = catalogue.Models.ToFrozenDictionary(
            model => model.Name, model => new ModelQueue(model, time, Random.Shared, metrics, reclaimer.Watch));
        registry.Changed += Update;
        metrics.Observe(this);
    }

    /// <summary>Waits for a slot. The lease says why there is none; cancellation frees the place in the queue at once.</summary>
    public ValueTask<SlotLease> AcquireAsync(QueueTicket ticket, CancellationToken cancellationToken) =>
        _queues[ticket.Request.Model.Name].AcquireAsync(ticket, cancellationToken);

    /// <summary>Any ready backend, for calls that take no slot.</summary>
    public Backend? AnyReady(Model model)
    {
        Backend?[] ready = [.. _registry.Snapshot(model.Name).Entries.Where(entry => entry.Condition == BackendCondition.Ready).Select(entry => entry.Backend)];
        return ready.Length == 0 ? null : ready[Random.Shared.Next(ready.Length)];
    }

    /// <summary>Completes when nothing runs on that backend any more.</summary>
    public Task WhenIdle(Backend backend) => _queues[backend.Model].WhenIdle(backend);

    public QueueStatus Status(string model) => _queues[model].Status();

    public ImmutableArray<QueueStatus> Statuses() => [.. _queues.Values.Select(queue => queue.Status())];

    public void Dispose()
    {
        _registry.Changed -= Update;
        foreach (var queue in _queues.Values)
        {
            queue.Dispose();
        }
    }

    private void Update(BackendSnapshot snapshot) => _queues[snapshot.Model].Update(snapshot);
}
