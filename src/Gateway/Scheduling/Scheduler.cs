using System.Collections.Concurrent;
using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Scheduling.Shedding;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Gives each request the right to a slot, in order: a queue per model, late binding to a backend.</summary>
internal sealed class Scheduler : IDisposable
{
    private readonly ConcurrentDictionary<string, ModelQueue> _queues = new(StringComparer.Ordinal);
    private readonly BackendRegistry _registry;
    private readonly SchedulingMetrics _metrics;
    private readonly KeyLimits _limits;
    private readonly SchedulingNews? _news;
    private readonly Func<Model, ModelQueue> _create;

    public Scheduler(
        LiveCatalogue catalogue, BackendRegistry registry, SlotReclaimer reclaimer, SchedulingMetrics metrics, KeyLimits limits, TimeProvider time, SchedulingNews? news = null)
    {
        (_registry, _metrics, _limits, _news) = (registry, metrics, limits, news);
        _create = model => new ModelQueue(model, time, Random.Shared, metrics, reclaimer.Watch) { News = news };
        foreach (var model in catalogue.Current.Models)
        {
            Apply(model);
        }

        registry.Changed += Update;
        metrics.Observe(this);
    }

    /// <summary>Waits for a slot. The lease says why there is none; cancellation frees the place in the queue at once.</summary>
    public ValueTask<SlotLease> AcquireAsync(QueueTicket ticket, CancellationToken cancellationToken) =>
        _queues.TryGetValue(ticket.Request.Model.Name, out var queue)
            ? queue.AcquireAsync(ticket, cancellationToken)
            : ValueTask.FromResult(SlotLease.Refused(ApiErrors.ModelNotFound));

    /// <summary>Counts a request against the limits of its key, or says which one refuses it. What it took is settled when the ticket is disposed.</summary>
    public ApiError? Enter(QueueTicket ticket)
    {
        var request = ticket.Request;
        if (!request.HasKey)
        {
            return null;
        }

        var (pass, limit, wait) = _limits.Enter(request.Key, request.Endpoint.TakesSlot ? TokenCost.Tokens(request.Body.Length, request.Slots, request.MaxTokens) : 0);
        if (pass is not null)
        {
            ticket.Pass = pass;
            return null;
        }

        var retryAfter = WaitForecast.RetryAfter(wait, Random.Shared.NextDouble());
        var refusal = limit == KeyLimit.Rate ? ApiErrors.RateLimited(retryAfter) : ApiErrors.KeyConcurrencyLimited(retryAfter);
        _metrics.Rejected(request.Model.Name, refusal.Code);
        _news?.Refused(request.Model.Name, refusal.Code);
        return refusal;
    }

    /// <summary>Sends a request back to its place in the queue, unless that is a retry and the budget for those is spent.</summary>
    public bool TryGoBack(QueueTicket ticket, RetryReason reason)
    {
        var model = ticket.Request.Model.Name;
        if (reason == RetryReason.Failed && _queues.TryGetValue(model, out var queue) && !queue.TryRetry(ticket))
        {
            return false;
        }

        _metrics.Retried(model, reason);
        return true;
    }

    /// <summary>Makes a queue for a model, or gives the one it has its new limits: whoever waits keeps his place.</summary>
    public void Apply(Model model)
    {
        if (_queues.TryGetValue(model.Name, out var queue))
        {
            queue.Configure(model);
            return;
        }

        _queues[model.Name] = _create(model);
        Update(_registry.Snapshot(model.Name));
    }

    /// <summary>The model is no longer configured: whoever waits for it is told so. What runs may finish.</summary>
    public void Close(string model)
    {
        if (_queues.TryGetValue(model, out var queue))
        {
            queue.Close(ApiErrors.ModelNotFound);
        }
    }

    /// <summary>Forgets a closed queue, when nothing runs on its backends any more.</summary>
    public void Remove(string model)
    {
        if (_queues.TryRemove(model, out var queue))
        {
            queue.Close(ApiErrors.ModelNotFound);
            queue.Dispose();
        }
    }

    /// <summary>Any ready backend, for calls that take no slot.</summary>
    public Backend? AnyReady(Model model)
    {
        Backend?[] ready = [.. _registry.Snapshot(model.Name).Entries.Where(entry => entry.Condition == BackendCondition.Ready).Select(entry => entry.Backend)];
        return ready.Length == 0 ? null : ready[Random.Shared.Next(ready.Length)];
    }

    /// <summary>Completes when nothing runs on that backend any more.</summary>
    public Task WhenIdle(Backend backend) => _queues.TryGetValue(backend.Model, out var queue) ? queue.WhenIdle(backend) : Task.CompletedTask;

    /// <summary>Slots of that backend that are held, or given up and not yet known to be free.</summary>
    public int InFlight(Backend backend) => _queues.TryGetValue(backend.Model, out var queue) ? queue.InFlight(backend) : 0;

    /// <summary>The numbers of one queue; all zero when there is none.</summary>
    public QueueStatus Status(string model) => _queues.TryGetValue(model, out var queue) ? queue.Status() : QueueStatus.None(model);

    public ImmutableArray<QueueStatus> Statuses() => [.. _queues.Values.Select(queue => queue.Status())];

    public void Dispose()
    {
        _registry.Changed -= Update;
        foreach (var queue in _queues.Values)
        {
            queue.Dispose();
        }
    }

    private void Update(BackendSnapshot snapshot)
    {
        if (_queues.TryGetValue(snapshot.Model, out var queue))
        {
            queue.Update(snapshot);
        }
    }
}
