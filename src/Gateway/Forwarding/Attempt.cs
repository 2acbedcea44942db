using System.Net;
using System.Runtime.CompilerServices;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>How one attempt ended.</summary>
internal enum AttemptEnd
{
    /// <summary>The whole answer has been relayed.</summary>
    Complete,

    /// <summary>The backend refused the request with a well-formed error of its own; nothing has been sent to the client yet.</summary>
    Refused,

    /// <summary>The client has left.</summary>
    ClientGone,

    /// <summary>No connection could be made: the backend never saw the request.</summary>
    Unreachable,

    /// <summary>The backend says that it is still loading.</summary>
    Loading,

    /// <summary>The backend does not offer this endpoint.</summary>
    NotOffered,

    /// <summary>The backend failed before the first byte reached the client.</summary>
    Failed,

    /// <summary>No first token, or no answer at all, in time; nothing has been sent to the client.</summary>
    TimedOut,

    /// <summary>The backend broke off after the first byte; the client has been told.</summary>
    Broken,
}

/// <summary>Is told how an attempt comes along, and tells the client how its answer came about.</summary>
internal interface IAttemptWatcher
{
    /// <summary>The request is ready for the backend: what follows is the backend's time.</summary>
    void Sending();

    /// <summary>The backend has begun to answer.</summary>
    void Started();

    /// <summary>The first token is in hand.</summary>
    void FirstToken();

    /// <summary>The first token has been written to the client.</summary>
    void FirstTokenWritten();

    /// <summary>The whole answer is in hand, although the client may still have to read it.</summary>
    void Whole(Attempt attempt);

    /// <summary>Writes the headers that tell how the answer came about.</summary>
    void DescribeRoute(IHeaderDictionary headers);
}

/// <summary>One try of one request on one backend: which headers pass, which answers pass, and how it ended.</summary>
internal sealed class Attempt : IRelayWatcher, IDisposable
{
    private const int LongestRefusal = 64 * 1024;

    private readonly InferenceRequest _request;
    private readonly ClientAnswer _answer;
    private readonly RelayTimer _timer;
    private RelayStream? _relay;
    private int _isSettled;

    /// <param name="request">What is asked.</param>
    /// <param name="answer">What the client gets.</param>
    /// <param name="backend">Whom.</param>
    /// <param name="time">The clock of its timeouts.</param>
    /// <param name="firstToken">Longest wait for the first token of a stream.</param>
    /// <param name="aborted">The client's leaving.</param>
    public Attempt(InferenceRequest request, ClientAnswer answer, Backend backend, TimeProvider time, TimeSpan firstToken, CancellationToken aborted)
    {
        (_request, _answer, Backend) = (request, answer, backend);
        backend.Traffic.Began(request.Stream);
        var timeouts = request.Model.Options.Timeouts;
        _timer = request.Stream
            ? new RelayTimer(time, firstToken, timeouts.BetweenTokens, timeouts.Total, backend.Gone, aborted)
            : new RelayTimer(time, null, null, timeouts.Total, backend.Gone, aborted);
    }

    /// <summary>Who is asked.</summary>
    public Backend Backend { get; }

    /// <summary>The request's body.</summary>
    public RequestBody Body => _request.Body;

    /// <summary>Longest wait for a connection.</summary>
    public TimeSpan ConnectTimeout => _request.Model.Options.Timeouts.Connect;

    /// <summary>Cancelled when it is over: by time, by the backend's end or the client's leaving.</summary>
    public CancellationToken Over => _timer.Token;

    /// <summary>This attempt's own place in a trace; null to pass on the client's.</summary>
    public string? TraceParent { get; init; }

    /// <summary>Is told how it comes along.</summary>
    public required IAttemptWatcher Watcher { get; init; }

    /// <summary>Who says the rest when the backend breaks off, or null.</summary>
    public Recovery? Recovery { get; init; }

    /// <summary>The backend's own error: status and body.</summary>
    public (int Status, byte[] Body)? Refusal { get; private set; }

    /// <summary>True once the first token is in hand: from then on the client's answer is this one.</summary>
    public bool IsCommitted { get; private set; }

    /// <summary>Status that the backend answered with, or 0.</summary>
    public int BackendStatus { get; private set; }

    /// <summary>What went wrong, for the log.</summary>
    public Exception? Fault { get; private set; }

    /// <summary>What the answer's last events say of its cost.</summary>
    public TokenUsage? Usage => _relay?.Usage;

    /// <summary>Sends the request and relays the answer.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<AttemptEnd> RunAsync(HttpContext context, IAttemptForwarder forwarder)
    {
        var end = await forwarder.SendAsync(context, this);
        Fault = end.Fault;
        return End(context, end);
    }

    public void Dispose()
    {
        Settle();
        _relay?.Dispose();
        _timer.Dispose();
    }

    /// <summary>What the backend is told besides the body. What follows is the backend's time.</summary>
    /// <param name="from">The client's headers.</param>
    public BackendRequest Describe(IHeaderDictionary from)
    {
        Watcher.Sending();
        return BackendRequest.Of(_request, Backend, from, _request.Body.Length, TraceParent);
    }

    /// <summary>Looks at the backend's answer and, when it can be passed on, waits for its first token and begins the client's.</summary>
    /// <param name="context">The client's call.</param>
    /// <param name="head">The answer's head.</param>
    /// <param name="body">The answer's body.</param>
    /// <returns>What the client gets, which the caller disposes; null when it gets nothing of this.</returns>
    /// <exception cref="IOException">It can't be passed on, or broke off before the first token.</exception>
    public async ValueTask<RelayStream?> TakeAsync(HttpContext context, AnswerHead head, Stream body)
    {
        BackendStatus = head.Status;
        if (BackendStatus is < 200 or > 299)
        {
            Refusal = BackendRefusal.Presentable(BackendStatus, await ReadRefusalAsync(body)) is { } error
                ? (BackendStatus, BackendRefusal.InShapeOf(_request.Endpoint.Dialect, BackendStatus, error, _request.Id))
                : null;
            return null;
        }

        Watcher.Started();
        var isEvents = head.IsEvents;
        var fault = head.Fault() ?? (_answer.IsCommitted && !isEvents ? "It is no stream, and the client has been promised one." : null);
        if (fault is not null)
        {
            throw new IOException($"The answer can't be passed on. {fault}");
        }

        _relay = new RelayStream(body, isEvents ? _request.Shape : null, _request.Id, _timer, Recovery?.Sent)
        {
            Watcher = this,
            Announced = isEvents ? null : head.Length,
            EndsWithItsConnection = !isEvents && head.Framing == BodyFraming.Connection && (head.ContentType is null || head.MediaType is "application/json"),
        };

        // Until the first token is in hand the request can still go elsewhere.
        await _relay.PrimeAsync();
        IsCommitted = true;
        await _answer.BeginAsync(BackendStatus, Watcher);

        var headers = context.Response.Headers;
        headers.ContentType = head.ContentType ?? "application/json";
        if (isEvents)
        {
            headers.CacheControl = "no-cache";
            headers["X-Accel-Buffering"] = "no";
        }
        else
        {
            headers.ContentLength = head.Length;
        }

        return _relay;
    }

    void IRelayWatcher.FirstToken()
    {
        if (_request.Stream)
        {
            Settle();
        }

        Watcher.FirstToken();
    }

    void IRelayWatcher.FirstTokenWritten() => Watcher.FirstTokenWritten();

    void IRelayWatcher.Whole() => Watcher.Whole(this);

    void IRelayWatcher.Progress(int bytes)
    {
        Backend.Traffic.Came(bytes);
        _request.Progress?.Came();
    }

    void IRelayWatcher.Broken() => _answer.CloseAfterwards();

    ValueTask<RelaySource?> IRelayWatcher.ContinueAsync() => Recovery?.ContinueAsync() ?? new((RelaySource?)null);

    /// <summary>The backend's traffic counts this attempt no longer among those that wait.</summary>
    private void Settle()
    {
        if (Interlocked.Exchange(ref _isSettled, 1) == 0)
        {
            Backend.Traffic.Settled(_request.Stream);
        }
    }

    private AttemptEnd End(HttpContext context, ForwardEnd end)
    {
        if (context.RequestAborted.IsCancellationRequested)
        {
            return AttemptEnd.ClientGone;
        }

        if (context.Response.HasStarted)
        {
            return end.IsClientGone ? AttemptEnd.ClientGone
                : _relay?.Ended == RelayEnd.Complete && end.Fault is null ? AttemptEnd.Complete
                : AttemptEnd.Broken;
        }

        return this switch
        {
            _ when Refusal is not null => AttemptEnd.Refused,
            _ when BackendStatus == (int)HttpStatusCode.ServiceUnavailable => AttemptEnd.Loading,
            _ when BackendStatus == (int)HttpStatusCode.NotImplemented => AttemptEnd.NotOffered,
            _ when _timer.HasExpired => AttemptEnd.TimedOut,
            _ when NeverConnected(Fault) => AttemptEnd.Unreachable,
            _ => AttemptEnd.Failed,
        };
    }

    /// <summary>True when no connection was made. A connect timeout comes as a cancellation around a <see cref="TimeoutException"/>, and only as that.</summary>
    private static bool NeverConnected(Exception? fault) => fault
        is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError }
        or OperationCanceledException { InnerException: TimeoutException };

    private async Task<ReadOnlyMemory<byte>> ReadRefusalAsync(Stream body)
    {
        var buffer = new byte[LongestRefusal];
        var length = await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, _timer.Token);

        // Half an error is none.
        _timer.Token.ThrowIfCancellationRequested();
        return buffer.AsMemory(0, length);
    }
}
