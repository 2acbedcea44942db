using System.Net;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;
using Yarp.ReverseProxy.Forwarder;

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

/// <summary>One try of one request on one backend, by YARP's forwarder: which headers pass, which answers pass, and how it ended.</summary>
internal sealed class Attempt : HttpTransformer, IDisposable
{
    private const int LongestRefusal = 64 * 1024;

    private readonly InferenceRequest _request;
    private readonly ClientAnswer _answer;
    private readonly Backend _backend;
    private readonly RelayTimer _timer;
    private readonly CancellationTokenSource _send = new();
    private CancellationTokenRegistration _sending;
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
        (_request, _answer, _backend) = (request, answer, backend);
        backend.Traffic.Began(request.Stream);
        var timeouts = request.Model.Options.Timeouts;
        _timer = request.Stream
            ? new RelayTimer(time, firstToken, timeouts.BetweenTokens, timeouts.Total, backend.Gone, aborted)
            : new RelayTimer(time, null, null, timeouts.Total, backend.Gone, aborted);
    }

    /// <summary>This attempt's own place in a trace; null to pass on the client's.</summary>
    public string? TraceParent { get; init; }

    /// <summary>Called when the request is ready for the backend: what follows is the backend's time.</summary>
    public Action? OnSending { get; init; }

    /// <summary>Called when the backend has begun to answer.</summary>
    public Action? OnStarted { get; init; }

    /// <summary>Called when the first token is in hand.</summary>
    public Action? OnFirstToken { get; init; }

    /// <summary>Called when the first token has been written to the client.</summary>
    public Action? OnFirstTokenWritten { get; init; }

    /// <summary>Called when the whole answer is in hand, although the client may still have to read it.</summary>
    public Action? OnWhole { get; set; }

    /// <summary>Headers for the client that tell how the answer came about.</summary>
    public required Action<IHeaderDictionary> DescribeRoute { get; init; }

    /// <summary>Who says the rest when the backend breaks off, or null.</summary>
    public Recovery? Recovery { get; init; }

    /// <summary>The backend's own error: status and body.</summary>
    public (int Status, byte[] Body)? Refusal { get; private set; }

    /// <summary>Status that the backend answered with, or 0.</summary>
    public int BackendStatus { get; private set; }

    /// <summary>What went wrong, for the log.</summary>
    public Exception? Fault { get; private set; }

    /// <summary>What the answer's last events say of its cost.</summary>
    public TokenUsage? Usage => _relay?.Usage;

    /// <summary>Sends the request and relays the answer.</summary>
    public async Task<AttemptEnd> RunAsync(HttpContext context, IHttpForwarder forwarder, HttpMessageInvoker invoker, ForwarderRequestConfig config)
    {
        // The forwarder's own token must not be cancelled once the answer has begun: it would keep the last event from the client.
        _sending = _timer.Token.UnsafeRegister(static send => ((CancellationTokenSource)send!).Cancel(), _send);
        context.Request.Body = _request.Body.OpenRead();

        // What an earlier attempt has left there would tell the forwarder that the answer is given.
        context.Response.Clear();
        ForwarderError error;
        try
        {
            error = await forwarder.SendAsync(context, _backend.Address.BaseUri.AbsoluteUri, invoker, config, this, _send.Token);
        }
        finally
        {
            await _sending.DisposeAsync();
        }

        Fault = context.GetForwarderErrorFeature()?.Exception;
        return End(context, error);
    }

    public void Dispose()
    {
        Settle();
        _timer.Dispose();
        _send.Dispose();
    }

    /// <inheritdoc/>
    public override ValueTask TransformRequestAsync(
        HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
    {
        BackendRequest.Describe(proxyRequest, _request, _backend, httpContext.Request.Headers, _request.Body.Length, TraceParent);
        OnSending?.Invoke();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override async ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
    {
        if (proxyResponse is null)
        {
            return false;
        }

        BackendStatus = (int)proxyResponse.StatusCode;
        if (BackendStatus is < 200 or > 299)
        {
            Refusal = BackendRefusal.Presentable(BackendStatus, await ReadRefusalAsync(proxyResponse)) is { } body ? (BackendStatus, body) : null;
            return false;
        }

        OnStarted?.Invoke();
        var from = proxyResponse.Content.Headers;
        var isEvents = string.Equals(from.ContentType?.MediaType, "text/event-stream", StringComparison.OrdinalIgnoreCase);
        var fault = BackendHead.Fault(proxyResponse) ?? (_answer.IsCommitted && !isEvents ? "It is no stream, and the client has been promised one." : null);
        if (fault is not null)
        {
            throw new IOException($"The answer can't be passed on. {fault}");
        }

        _relay = new RelayStream(
            await proxyResponse.Content.ReadAsStreamAsync(_timer.Token), isEvents ? _request.Endpoint.Dialect : null, _request.Id, _timer, Recovery?.Sent)
        {
            Continue = Recovery is { } recovery ? recovery.ContinueAsync : null,
            OnFirstToken = HandleFirstToken,
            OnFirstTokenWritten = OnFirstTokenWritten,
            OnProgress = Came,
            OnWhole = OnWhole,
            Announced = isEvents ? null : from.ContentLength,
            OnBroken = _answer.CloseAfterwards,
            EndsWithItsConnection = !isEvents && from.ContentLength is null && proxyResponse.Headers.TransferEncodingChunked is not true
                && from.ContentType?.MediaType is null or "application/json",
        };

        // Until the first token is in hand the request can still go elsewhere.
        await _relay.PrimeAsync();
        _sending.Unregister();
        await _answer.BeginAsync(BackendStatus, DescribeRoute);

        var headers = httpContext.Response.Headers;
        headers.ContentType = from.ContentType?.ToString() ?? "application/json";
        if (isEvents)
        {
            headers.CacheControl = "no-cache";
            headers["X-Accel-Buffering"] = "no";
        }
        else
        {
            headers.ContentLength = from.ContentLength;
        }

        proxyResponse.Content = new RelayContent(_relay, proxyResponse.Content);
        return true;
    }

    /// <inheritdoc/>
    public override ValueTask TransformResponseTrailersAsync(HttpContext httpContext, HttpResponseMessage proxyResponse, CancellationToken cancellationToken) =>
        ValueTask.CompletedTask;

    private void HandleFirstToken()
    {
        if (_request.Stream)
        {
            Settle();
        }

        OnFirstToken?.Invoke();
    }

    /// <summary>More than a sign of life has come.</summary>
    private void Came(int bytes)
    {
        _backend.Traffic.Came(bytes);
        _request.Progress?.Came();
    }

    /// <summary>The backend's traffic counts this attempt no longer among those that wait.</summary>
    private void Settle()
    {
        if (Interlocked.Exchange(ref _isSettled, 1) == 0)
        {
            _backend.Traffic.Settled(_request.Stream);
        }
    }

    private AttemptEnd End(HttpContext context, ForwarderError error)
    {
        if (context.RequestAborted.IsCancellationRequested)
        {
            return AttemptEnd.ClientGone;
        }

        if (context.Response.HasStarted)
        {
            return (_relay?.Ended, error) switch
            {
                (RelayEnd.Complete, ForwarderError.None) => AttemptEnd.Complete,
                (_, ForwarderError.ResponseBodyClient) => AttemptEnd.ClientGone,
                _ => AttemptEnd.Broken,
            };
        }

        return error switch
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

    private async Task<ReadOnlyMemory<byte>> ReadRefusalAsync(HttpResponseMessage response)
    {
        var buffer = new byte[LongestRefusal];
        using var body = await response.Content.ReadAsStreamAsync(_timer.Token);
        var length = await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, _timer.Token);
        return buffer.AsMemory(0, length);
    }
}
