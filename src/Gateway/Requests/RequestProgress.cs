using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Requests;

/// <summary>Where one request stands, for whoever looks at it from outside. Written by the request's own course, read at any time; holds no text.</summary>
internal sealed class RequestProgress(InferenceRequest request, long number, DateTimeOffset arrivedAt, TimeProvider time, RequestLedger ledger, Action cancel) : IDisposable
{
    private readonly Lock _lock = new();
    private RequestStage _stage = RequestStage.Queued;
    private string? _backend;
    private int _attempts;
    private TimeSpan _waited;
    private TimeSpan? _firstToken;
    private TimeSpan? _took;
    private long? _promptTokens;
    private long? _completionTokens;
    private RequestOutcome? _outcome;
    private int? _status;
    private int _pieces;
    private int _taken;
    private bool _isOut;
    private TaskCompletionSource? _whenOut;

    /// <summary>Counts the requests of this run.</summary>
    public long Number => number;

    /// <summary>What is known now.</summary>
    public RequestFacts Facts
    {
        get
        {
            lock (_lock)
            {
                return new(
                    number, request.Id, request.Model.Name, request.Endpoint.Name, request.Key, request.Priority, request.Stream, arrivedAt,
                    _stage, _backend, _attempts, _waited, _firstToken, _took, _promptTokens, _completionTokens, _outcome, _status);
            }
        }
    }

    /// <summary>Pieces of the answer that have been taken so far.</summary>
    public int Taken => Volatile.Read(ref _taken);

    private TimeSpan Elapsed => time.GetElapsedTime(request.ArrivedAt);

    /// <summary>A slot was granted; <paramref name="waited"/> is the whole wait so far.</summary>
    public void Granted(string backend, TimeSpan waited)
    {
        lock (_lock)
        {
            if (_stage != RequestStage.Ended)
            {
                (_stage, _backend, _attempts, _waited) = (RequestStage.Running, backend, _attempts + 1, waited);
            }
        }
    }

    /// <summary>It went back to its place in the queue.</summary>
    public void Requeued()
    {
        ledger.Requeued(Facts);
        lock (_lock)
        {
            if (_stage != RequestStage.Ended)
            {
                (_stage, _backend) = (RequestStage.Queued, null);
            }
        }
    }

    /// <summary>The first token came, or the whole answer.</summary>
    public void FirstToken()
    {
        lock (_lock)
        {
            if (_stage != RequestStage.Ended)
            {
                _firstToken = Elapsed;
            }
        }
    }

    public void Tokens(long prompt, long completion)
    {
        lock (_lock)
        {
            if (_stage != RequestStage.Ended)
            {
                (_promptTokens, _completionTokens) = (prompt, completion);
            }
        }
    }

    /// <summary>A piece of a streamed answer has come: a token, as far as anybody can tell before the backend has counted them.</summary>
    public void Came() => Interlocked.Increment(ref _pieces);

    /// <summary>The pieces that have come since this was asked last. For one asker.</summary>
    public int Take()
    {
        var pieces = Volatile.Read(ref _pieces);
        return pieces - Interlocked.Exchange(ref _taken, pieces);
    }

    /// <summary>It has ended; what is said later does not count.</summary>
    public void Ended(RequestOutcome outcome, int status)
    {
        lock (_lock)
        {
            if (_stage != RequestStage.Ended)
            {
                (_stage, _outcome, _status, _took) = (RequestStage.Ended, outcome, status, Elapsed);
            }
        }
    }

    /// <summary>Ends it as if its client had left. Completes when it is out of the gateway.</summary>
    public Task CancelAsync()
    {
        Task isOut;
        lock (_lock)
        {
            if (_isOut)
            {
                // Its connection may carry the next request already.
                return Task.CompletedTask;
            }

            isOut = (_whenOut ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }

        cancel();
        return isOut;
    }

    public void Dispose()
    {
        ledger.Close(this);
        lock (_lock)
        {
            _isOut = true;
        }

        _whenOut?.TrySetResult();
    }
}

/// <summary>How far a request has come.</summary>
internal enum RequestStage
{
    Queued,
    Running,
    Ended,
}

/// <summary>What there is to know of a request without its text.</summary>
/// <param name="Number">Counts the requests of this run.</param>
/// <param name="Id">Its <c>x-request-id</c>.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Endpoint">Which of the inference endpoints.</param>
/// <param name="Key">Name of the API key, or <c>none</c>.</param>
/// <param name="Priority">Its band.</param>
/// <param name="Stream">True when the answer is a stream.</param>
/// <param name="ArrivedAt">When it came.</param>
/// <param name="Stage">How far it has come.</param>
/// <param name="Backend">Who works on it, or did last.</param>
/// <param name="Attempts">Grants so far.</param>
/// <param name="Waited">Time in the queue up to the last grant.</param>
/// <param name="FirstToken">From arrival to the first token.</param>
/// <param name="Took">From arrival to the end.</param>
/// <param name="PromptTokens">As the backend counted them.</param>
/// <param name="CompletionTokens">As the backend counted them.</param>
/// <param name="Outcome">How it ended.</param>
/// <param name="Status">The HTTP status that it ended with.</param>
internal sealed record RequestFacts(
    long Number,
    string Id,
    string Model,
    string Endpoint,
    string Key,
    Priority Priority,
    bool Stream,
    DateTimeOffset ArrivedAt,
    RequestStage Stage,
    string? Backend,
    int Attempts,
    TimeSpan Waited,
    TimeSpan? FirstToken,
    TimeSpan? Took,
    long? PromptTokens,
    long? CompletionTokens,
    RequestOutcome? Outcome,
    int? Status);
