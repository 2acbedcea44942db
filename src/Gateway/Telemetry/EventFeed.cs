using System.Collections.Immutable;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>What happened lately, for those who watch. Any room publishes; readers hold nothing but the id that they have read up to.</summary>
/// <remarks>
/// So a slow reader costs nothing and delays nobody: what it has not read when the history moves on, it misses, and is told so.
/// Publishing never blocks and never runs a reader's code.
/// </remarks>
internal sealed class EventFeed(TimeProvider time)
{
    /// <summary>Events that are kept.</summary>
    public const int Capacity = 2_000;

    private readonly Lock _lock = new();
    private readonly Queue<GatewayEvent> _history = new(Capacity);

    // Ids begin with the start's clock, so that whoever resumes with an id of an earlier run gets all of this one.
    private long _lastId = time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;
    private TaskCompletionSource _next = NewSignal();

    /// <summary>The last event's id; where a reader begins that wants only what is new.</summary>
    public long LastId
    {
        get
        {
            lock (_lock)
            {
                return _lastId;
            }
        }
    }

    /// <summary>Tells what happened.</summary>
    /// <param name="kind">What kind of thing.</param>
    /// <param name="subject">A backend (<c>model/0</c>), a model, or <c>gateway</c>.</param>
    /// <param name="message">One sentence for a person; never text from a prompt, a completion or a key.</param>
    /// <param name="level">How much it deserves a look.</param>
    /// <param name="from">State or phase before.</param>
    /// <param name="to">State or phase after.</param>
    public void Publish(EventKind kind, string subject, string message, EventLevel level = EventLevel.Info, string? from = null, string? to = null)
    {
        TaskCompletionSource signal;
        lock (_lock)
        {
            if (_history.Count == Capacity)
            {
                _history.Dequeue();
            }

            _history.Enqueue(new GatewayEvent(++_lastId, time.GetUtcNow(), kind, level, subject, message, from, to));
            (signal, _next) = (_next, NewSignal());
        }

        signal.SetResult();
    }

    /// <summary>What came after an id, oldest first.</summary>
    /// <param name="id">The last one read; one that this feed never gave counts as none.</param>
    /// <param name="most">Events at once.</param>
    public EventPage After(long id, int most = Capacity)
    {
        lock (_lock)
        {
            if (id > _lastId)
            {
                id = 0;
            }

            var isGap = id > 0 && _history.TryPeek(out var oldest) && id < oldest.Id - 1 && _history.Count == Capacity;
            return new EventPage([.. _history.Where(one => one.Id > id).Take(most)], isGap, _next.Task);
        }
    }

    /// <summary>The last events, oldest first.</summary>
    public ImmutableArray<GatewayEvent> Last(int count)
    {
        lock (_lock)
        {
            return [.. _history.Skip(_history.Count - count)];
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>One reading of the feed.</summary>
/// <param name="Events">Oldest first.</param>
/// <param name="HasGap">True when events between the reader's id and the first of these are no longer kept.</param>
/// <param name="More">Completes when an event comes that this reading could not see.</param>
internal sealed record EventPage(ImmutableArray<GatewayEvent> Events, bool HasGap, Task More);
