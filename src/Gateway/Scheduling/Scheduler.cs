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

    /// <summary>Raised when somebody wants a model that is not loaded. Handlers must not block.</summary>
    public event Action<string>? Demanded;

    /// <summary>Waits for a slot. The lease says why there is none; cancellation frees the place in the queue at once.</summary>
    public ValueTask<SlotLease> AcquireAsync(QueueTicket ticket, CancellationToken cancellationToken)
    {
        var model = ticket.Request.Model.Name;
        if (!_queues.TryGetValue(model, out var queue))
        {
            return ValueTask.FromResult(SlotLease.Refused(ApiErrors.ModelNotFound));
        }

        // In line first, then told: whoever loads models looks at the line.
        var lease = queue.AcquireAsync(ticket, cancellationToken);
        if (!lease.IsCompleted)
        {
            TellDemand(model);
        }

        return lease;
    }

    /// <summary>Grants nothing new until <see cref="Resume"/>; who waits keeps waiting, on the clock of a model that loads.</summary>
    /// <param name="model">The model.</param>
    /// <param name="onlyIfIdle">Do it only when nothing runs and nobody waits.</param>
    /// <returns>False when it was not done.</returns>
    public bool Hold(string model, bool onlyIfIdle) => !_queues.TryGetValue(model, out var queue) || queue.Hold(onlyIfIdle);

    /// <summary>Grants again.</summary>
    public void Resume(string model)
    {
        if (_queues.TryGetValue(model, out var queue))
        {
            queue.Resume();
        }
    }

    /// <summary>Refuses those who wait now.</summary>
    public void Refuse(string model, ApiError refusal)
    {
        if (_queues.TryGetValue(model, out var queue))
        {
            queue.Refuse(refusal);
        }
    }

    /// <summary>Says why the model does not load, to be told to whoever has waited too long; null takes it back.</summary>
    public void Explain(string model, string? shortage)
    {
        if (_queues.TryGetValue(model, out var queue))
        {
            queue.Explain(shortage);
        }
    }

    /// <summary>Completes when nothing runs on any backend of the model.</summary>
    public Task WhenIdle(string model) =>
        Task.WhenAll(_registry.Snapshot(model).Entries.Select(entry => entry.Backend is { } backend ? WhenIdle(backend) : Task.CompletedTask));

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
        if (ready.Length > 0)
        {
            if (_queues.TryGetValue(model.Name, out var queue))
            {
                queue.Touch();
            }

            return ready[Random.Shared.Next(ready.Length)];
        }

        TellDemand(model.Name);
        return null;
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

    private void TellDemand(string model)
    {
        if (_registry.Snapshot(model).Best == BackendCondition.Loadable)
        {
            Demanded?.Invoke(model);
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
