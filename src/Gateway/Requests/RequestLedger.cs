using System.Collections.Concurrent;
using System.Collections.Immutable;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Requests;

/// <summary>The requests that are in the gateway, and the last ones that were. Never their text.</summary>
internal sealed class RequestLedger(EventBursts bursts, TimeProvider time)
{
    /// <summary>Ended requests that are remembered.</summary>
    public const int Remembered = 256;

    private readonly ConcurrentDictionary<long, RequestProgress> _open = [];
    private readonly Lock _lock = new();
    private readonly Queue<RequestFacts> _ended = new(Remembered);
    private long _last;

    /// <summary>Raised when a request has ended, with the pieces of it that had been taken. Handlers must not block or throw.</summary>
    public event Action<RequestFacts, int>? Ended;

    /// <summary>Requests in the gateway.</summary>
    public IEnumerable<RequestProgress> Open => _open.Values;

    /// <summary>Enters a request; disposing the result takes it out.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancel">Ends it as if its client had left.</param>
    public RequestProgress Enter(InferenceRequest request, Action cancel)
    {
        var number = Interlocked.Increment(ref _last);
        var progress = new RequestProgress(request, number, time.GetUtcNow() - time.GetElapsedTime(request.ArrivedAt), time, this, cancel);
        request.Progress = progress;
        _open[number] = progress;
        return progress;
    }

    /// <summary>Those in the gateway, oldest first.</summary>
    public ImmutableArray<RequestFacts> Current(int most) => [.. _open.Values.Select(one => one.Facts).OrderBy(facts => facts.Number).Take(most)];

    /// <summary>Those that have ended, latest first.</summary>
    public ImmutableArray<RequestFacts> Recent(int most)
    {
        lock (_lock)
        {
            return [.. _ended.Reverse().Take(most)];
        }
    }

    /// <summary>Ends those that carry an id, as if their clients had left.</summary>
    /// <returns>For each, what is complete once it is out of the gateway; clients may use one id twice.</returns>
    public ImmutableArray<Task> Cancel(string id) => [.. _open.Values.Where(one => one.Facts.Id == id).ToArray().Select(one => one.CancelAsync())];

    /// <summary>A request went back to its place in the queue because its backend failed it.</summary>
    internal void Requeued(RequestFacts facts) => bursts.Count(EventKind.Reschedule, facts.Backend ?? facts.Model, "a request goes back to its place in the queue, its backend failed it");

    internal void Close(RequestProgress progress)
    {
        if (!_open.TryRemove(progress.Number, out _))
        {
            return;
        }

        var facts = progress.Facts;
        lock (_lock)
        {
            if (_ended.Count == Remembered)
            {
                _ended.Dequeue();
            }

            _ended.Enqueue(facts);
        }

        Ended?.Invoke(facts, progress.Taken);
    }
}
