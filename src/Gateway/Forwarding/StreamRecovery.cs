using System.Diagnostics;
using System.Net;
using System.Text.Json;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Lets another backend say the rest of a stream whose backend broke off after the first byte.</summary>
internal sealed class StreamRecovery(Scheduler scheduler, BackendInvokers invokers, RequestMetrics metrics, TimeProvider time, ILogger<StreamRecovery> logger)
{
    /// <summary>A client's wish not to have its streams continued.</summary>
    public const string Header = "x-llmgateway-recover";

    /// <summary>What is kept ready for one stream; null for a request whose stream can't or must not be continued.</summary>
    /// <param name="context">The client's call.</param>
    /// <param name="ticket">The request's place in its queue.</param>
    /// <param name="lease">The slot that the stream comes from.</param>
    /// <param name="attempt">The span of that.</param>
    public Recovery? Prepare(HttpContext context, QueueTicket ticket, SlotLease lease, Activity? attempt)
    {
        var request = ticket.Request;
        return request is { Stream: true, Slots: 1, Model.RecoversStreams: true }
            && ContinuationRequest.IsPossible(request.Endpoint)
            && context.Request.Headers[Header] != "0"
            ? new Recovery(scheduler, invokers, metrics, time, logger, context, ticket, lease, attempt)
            : null;
    }
}

/// <summary>One stream's recovery: knows what was sent, and holds the slot of whoever speaks now.</summary>
/// <remarks>It is used by the one reader of the stream; disposing gives its slot and its connection back.</remarks>
internal sealed class Recovery(
    Scheduler scheduler,
    BackendInvokers invokers,
    RequestMetrics metrics,
    TimeProvider time,
    ILogger logger,
    HttpContext context,
    QueueTicket ticket,
    SlotLease lease,
    Activity? attempt) : IDisposable
{
    /// <summary>Breaks of one stream that are mended before it is given up.</summary>
    private const int MostBreaks = 4;

    private static readonly TimeSpan CountWithin = TimeSpan.FromSeconds(2);

    private HttpResponseMessage? _response;
    private RelayTimer? _timer;
    private Activity? _attempt = attempt;
    private int _breaks;
    private string _result = "not_possible";

    /// <summary>What the client has been sent.</summary>
    public SentText Sent { get; } = new();

    /// <summary>The slot of the backend that speaks, or spoke last.</summary>
    public SlotLease Lease { get; private set; } = lease;

    /// <summary>True once the first backend has broken off: from then on the spans of the attempts are this one's to end.</summary>
    public bool HasBroken => _breaks > 0;

    private InferenceRequest Request => ticket.Request;

    private CancellationToken Aborted => context.RequestAborted;

    private Activity? Span => context.Features.Get<Activity>();

    /// <summary>Finds somebody to say the rest; null when nobody can.</summary>
    public async ValueTask<RelaySource?> ContinueAsync()
    {
        // Rare and heavy: not on the thread on which other connections wait.
        await Task.Yield();
        while (++_breaks <= MostBreaks && ContinuationRequest.Create(Request.Endpoint, Request.Body.Bytes, Sent, Sent.Tokens) is not null)
        {
            _result = "failed";
            var broken = Lease.Backend;
            GiveBack();
            if (!await DeathNews.IsDeadAsync(broken, time, Aborted))
            {
                ticket.FailedOn(broken);
            }

            if (await NextAsync() is not { } next)
            {
                break;
            }

            Lease = next;
            try
            {
                if (await AskAsync(next) is { } source)
                {
                    Log.StreamContinued(logger, Request.Id, broken.Name, next.Backend.Name, Sent.Tokens);
                    _result = "recovered";
                    return source;
                }

                break;
            }
            catch (Exception e) when (!Aborted.IsCancellationRequested && e is HttpRequestException or IOException or OperationCanceledException or ObjectDisposedException)
            {
                // The last of them: its client goes with a backend that died between the grant and this.
                Log.ContinuationFailed(logger, Request.Id, next.Backend.Name, e.GetBaseException().Message);
            }
        }

        return null;
    }

    /// <summary>Says how the stream ended: ends the span of whoever spoke last, and counts what became of its breaks.</summary>
    public void Ended(AttemptEnd end)
    {
        if (HasBroken)
        {
            EndAttempt(end);
            metrics.Recovered(Request.Model.Name, end == AttemptEnd.Complete ? "recovered" : _result == "recovered" ? "failed" : _result);
        }
    }

    public void Dispose()
    {
        _attempt?.Dispose();
        Lease.Dispose();
        _response?.Dispose();
        _timer?.Dispose();
    }

    /// <summary>A slot of another backend, from the request's old place in the queue; null when there is none to be had.</summary>
    private async ValueTask<SlotLease?> NextAsync()
    {
        // The limit to the first token has been kept; what is waited for now is the rest.
        ticket.IsContinued = true;
        Request.Progress?.Requeued();
        using var queue = RequestTrace.StartQueue(Span);
        var next = await scheduler.AcquireAsync(ticket, Aborted);
        RequestTrace.EndQueue(queue, next);
        if (!next.IsAcquired)
        {
            return null;
        }

        Request.Progress?.Granted(next.Backend.Name, ticket.Waited);
        _attempt = RequestTrace.StartAttempt(Span, Request, next.Backend, Request.Progress?.Facts.Attempts ?? 0);
        return next;
    }

    /// <param name="end">How whoever spoke last ended, for the span of that.</param>
    private void EndAttempt(AttemptEnd end)
    {
        RequestTrace.EndAttempt(_attempt, (int)(_response?.StatusCode ?? HttpStatusCode.OK), end);
        _attempt?.Dispose();
        _attempt = null;
    }

    private void GiveBack()
    {
        EndAttempt(AttemptEnd.Broken);
        Lease.End(LeaseEnd.Abandoned, UpstreamOutcome.Fault);
        Lease.Dispose();
        _response?.Dispose();
        _timer?.Dispose();
        (_response, _timer) = (null, null);
    }

    /// <summary>Null when this backend will not continue it, and no other one either.</summary>
    private async Task<RelaySource?> AskAsync(SlotLease lease)
    {
        var timeouts = Request.Model.Options.Timeouts;
        var invoker = invokers.For(lease.Backend, timeouts.Connect);
        _timer = new RelayTimer(time, timeouts.FirstToken, timeouts.BetweenTokens, timeouts.Total, lease.Backend.Gone, Aborted);

        // Of one text two tokenisers' counts may differ: an event is one token at least, and what the server counts in its prompt is taken off its prompt.
        var inPrompt = await CountAsync(invoker, lease.Backend) ?? Sent.Tokens;
        var tokens = Math.Max(inPrompt, Sent.Tokens);
        if (ContinuationRequest.Create(Request.Endpoint, Request.Body.Bytes, Sent, tokens) is not { } body)
        {
            return null;
        }

        using var message = new HttpRequestMessage(HttpMethod.Post, default(Uri)) { Content = new ByteArrayContent(body) };
        BackendRequest.Of(Request, lease.Backend, context.Request.Headers, body.Length, (_attempt ?? Span)?.Id).Describe(message);
        _response = await invoker.SendAsync(message, _timer.Token);
        if (AnswerHead.Of(_response) is not { Status: StatusCodes.Status200OK, IsEvents: true } head || head.Fault() is not null)
        {
            lease.End(LeaseEnd.Finished, UpstreamOutcome.Client);
            Log.ContinuationFailed(logger, Request.Id, lease.Backend.Name, $"it answered with status {(int)_response.StatusCode}");
            return (int)_response.StatusCode is >= 400 and < 500 ? null : throw new IOException("The backend did not continue the stream.");
        }

        lease.MarkStarted();
        var splice = new Splice(Sent, tokens, inPrompt, Request.Body.Bytes);
        return new RelaySource(new SplicedStream(await _response.Content.ReadAsStreamAsync(_timer.Token), splice), _timer) { OnProgress = lease.Backend.Traffic.Came };
    }

    /// <summary>Tokens of the text that was sent, as this backend counts them behind a line end; null when it does not say.</summary>
    /// <remarks>Counted as a difference: some tokenisers put a space before any text.</remarks>
    private async Task<int?> CountAsync(HttpMessageInvoker invoker, Backend backend)
    {
        using var limit = new CancellationTokenSource(CountWithin, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _timer!.Token);
        try
        {
            return await TokensAsync(invoker, backend, "\n"u8.ToArray(), either.Token) is { } before
                && await TokensAsync(invoker, backend, [(byte)'\n', .. Sent.Text], either.Token) is { } both
                ? both - before
                : null;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException or InvalidOperationException || (e is OperationCanceledException && limit.IsCancellationRequested))
        {
            return null;
        }
    }

    private static async Task<int?> TokensAsync(HttpMessageInvoker invoker, Backend backend, byte[] text, CancellationToken cancellationToken)
    {
        using var body = new MemoryStream();
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("content", text);
            json.WriteBoolean("add_special", false);
            json.WriteEndObject();
        }

        using var message = new HttpRequestMessage(HttpMethod.Post, new Uri(backend.Address.BaseUri, "tokenize")) { Content = new ByteArrayContent(body.ToArray()) };
        message.Content.Headers.TryAddWithoutValidation("Content-Type", "application/json");
        if (backend.ApiKey is { } key)
        {
            message.Headers.Authorization = new("Bearer", key);
        }

        using var response = await invoker.SendAsync(message, cancellationToken);
        using var answer = await JsonDocument.ParseAsync(await response.Content.ReadAsStreamAsync(cancellationToken), cancellationToken: cancellationToken);
        return response.IsSuccessStatusCode && answer.RootElement.TryGetProperty("tokens", out var tokens) && tokens.ValueKind == JsonValueKind.Array
            ? tokens.GetArrayLength()
            : null;
    }
}
