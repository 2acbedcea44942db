using System.Diagnostics;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Carries one accepted request to its end: a slot, an attempt, and as long as no byte has reached the client, perhaps another.</summary>
internal sealed class InferenceHandler(
    Scheduler scheduler, BackendRegistry registry, AttemptForwarders forwarders, StreamRecovery recoveries, RequestMetrics metrics, RequestLedger ledger, TimeProvider time, ILogger<InferenceHandler> logger)
{
    /// <summary>Backends that may die under one request before it is given up.</summary>
    private const int MostDeaths = 8;

    /// <summary>Deaths of a backend that worked on nothing else: a second one is no accident.</summary>
    private const int MostDeathsAlone = 2;

    private TimeProvider Time => time;

    private RequestMetrics Metrics => metrics;

    /// <summary>Answers the request; never throws for what a client or a backend does.</summary>
    /// <param name="context">The client's call.</param>
    /// <param name="request">What it asks for.</param>
    /// <param name="span">The call's span, while somebody exports spans.</param>
    public async Task HandleAsync(HttpContext context, InferenceRequest request, Activity? span)
    {
        var outcome = RequestOutcome.BackendError;
        RequestTrace.Describe(span, request);
        using var progress = ledger.Enter(request, context.Abort);
        metrics.Began(request.Model.Name);
        using var ticket = new QueueTicket(request);
        try
        {
            outcome = await RunAsync(context, request, ticket, span);
            ticket.IsServed = outcome is RequestOutcome.Ok or RequestOutcome.ClientError or RequestOutcome.CancelledInFlight;
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            outcome = RequestOutcome.CancelledQueued;
        }
        finally
        {
            metrics.Finished(request.Model.Name);
            RequestTrace.End(span, outcome);
            var isCancelled = outcome is RequestOutcome.CancelledQueued or RequestOutcome.CancelledInFlight;
            progress.Ended(outcome, isCancelled ? StatusCodes.Status499ClientClosedRequest : context.Response.StatusCode);
            metrics.Ended(request.Model.Name, request.Endpoint.Name, isCancelled ? StatusCodes.Status499ClientClosedRequest : context.Response.StatusCode, outcome);
            metrics.Took(request.Model.Name, request.Stream, time.GetElapsedTime(request.ArrivedAt));
        }
    }

    private async Task<RequestOutcome> RunAsync(HttpContext context, InferenceRequest request, QueueTicket ticket, Activity? span)
    {
        await using var answer = new ClientAnswer(context, request, time);
        var run = new Run(ticket, answer, span);
        if (scheduler.Enter(ticket) is { } limited)
        {
            return await RefuseAsync(run, limited);
        }

        while (true)
        {
            using var lease = await LeaseAsync(run, context.RequestAborted);
            if (lease.Refusal is { } refusal)
            {
                return await RefuseAsync(run, refusal);
            }

            run.Grants++;
            run.Backend = lease.Backend.Name;
            request.Progress?.Granted(lease.Backend.Name, run.Ticket.Waited);
            using var attemptSpan = RequestTrace.StartAttempt(run.Span, request, lease.Backend, run.Grants);
            using var recovery = recoveries.Prepare(context, run.Ticket, lease, attemptSpan);
            using var attempt = Begin(context, run, lease, attemptSpan, recovery);
            answer.WaitsForBackend();
            var end = await attempt.RunAsync(context, forwarders.For(lease.Backend));
            if (recovery is not { HasBroken: true })
            {
                RequestTrace.EndAttempt(attemptSpan, attempt.BackendStatus, end);
                attemptSpan?.Dispose();
            }

            recovery?.Ended(end);
            if (await SettleAsync(context, run, recovery?.Lease ?? lease, attempt, end) is { } outcome)
            {
                return outcome;
            }

            request.Progress?.Requeued();
        }
    }

    /// <summary>A slot in its turn; or, for calls that only look at text, any ready backend at once.</summary>
    private async ValueTask<SlotLease> LeaseAsync(Run run, CancellationToken aborted)
    {
        var request = run.Ticket.Request;
        var overhead = request.Overhead;
        overhead.Enter(OverheadPhase.Admit);
        if (request.Endpoint.TakesSlot)
        {
            var waited = run.Ticket.Waited;
            using var queue = RequestTrace.StartQueue(run.Span);
            var acquiring = scheduler.AcquireAsync(run.Ticket, aborted);
            if (!acquiring.IsCompleted)
            {
                run.Answer.WaitsForSlot();
            }

            var lease = await acquiring;
            RequestTrace.EndQueue(queue, lease);
            overhead.TakeOff(run.Ticket.Waited - waited);
            overhead.Enter(OverheadPhase.Send);
            return lease;
        }

        overhead.Enter(OverheadPhase.Send);
        return scheduler.AnyReady(request.Model) is { } backend
            ? SlotLease.WithoutSlot(backend, time.GetTimestamp())
            : SlotLease.Refused(ApiErrors.NoBackend(TimeSpan.FromSeconds(1)));
    }

    private Attempt Begin(HttpContext context, Run run, SlotLease lease, Activity? span, Recovery? recovery)
    {
        var request = run.Ticket.Request;
        var firstToken = request.Model.Options.Timeouts.FirstToken;
        if (request.FirstTokenWithin is { } within && within - time.GetElapsedTime(request.ArrivedAt) is var left && left < firstToken)
        {
            firstToken = left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }

        return new Attempt(request, run.Answer, lease.Backend, time, firstToken, context.RequestAborted)
        {
            TraceParent = span?.Id,
            Recovery = recovery,
            Watcher = new Course(this, run, lease, span, recovery),
        };
    }

    /// <summary>Gives the slot back and decides what comes next. Null: the request goes back to its place in the queue.</summary>
    private async ValueTask<RequestOutcome?> SettleAsync(HttpContext context, Run run, SlotLease lease, Attempt attempt, AttemptEnd end)
    {
        var request = run.Ticket.Request;
        switch (end)
        {
            case AttemptEnd.Complete:
                Finish(run, attempt, lease);
                return RequestOutcome.Ok;

            case AttemptEnd.Refused:
                lease.End(LeaseEnd.Finished, UpstreamOutcome.Client);
                await run.Answer.PassRefusalAsync(attempt.Refusal!.Value.Status, attempt.Refusal.Value.Body, attempt.Watcher);
                return RequestOutcome.ClientError;

            case AttemptEnd.ClientGone:
                Count(run, attempt, lease);
                return RequestOutcome.CancelledInFlight;

            case AttemptEnd.Broken:
                lease.End(LeaseEnd.Abandoned, UpstreamOutcome.Fault);
                Count(run, attempt, lease);
                Log.StreamBroken(logger, request.Id, lease.Backend.Name, attempt.Fault?.GetBaseException().Message ?? "it ended early");
                return RequestOutcome.StreamBroken;

            case AttemptEnd.NotOffered:
                lease.End(LeaseEnd.Finished, UpstreamOutcome.Client);
                return await RefuseAsync(run, ApiErrors.NotOffered(request.Model.Name));

            case AttemptEnd.TimedOut:
                // A client's own short limit says nothing about the backend.
                lease.End(LeaseEnd.Abandoned, request.FirstTokenWithin is null ? UpstreamOutcome.Fault : UpstreamOutcome.Neutral);
                Log.NoFirstToken(logger, request.Id, lease.Backend.Name);
                return await RefuseAsync(run, ApiErrors.BackendTimeout);
        }

        // Nothing has reached the client. The slot goes back first: whoever waits behind must not wait for the news.
        Log.AttemptFailed(logger, request.Id, lease.Backend.Name, end, attempt.BackendStatus, attempt.Fault?.GetBaseException().Message ?? "no reason given");
        lease.End(
            end == AttemptEnd.Failed && attempt.BackendStatus < 300 ? LeaseEnd.Abandoned : LeaseEnd.Finished,
            end == AttemptEnd.Loading || attempt.BackendStatus == StatusCodes.Status429TooManyRequests ? UpstreamOutcome.Backpressure : UpstreamOutcome.Fault);
        var wasAlone = lease.WasAlone;
        lease.Dispose();

        // A backend that has answered lives; only of a broken connection is it not known.
        var hasAnswered = end == AttemptEnd.Failed && attempt.BackendStatus >= 300;
        var isDead = hasAnswered
            ? lease.Backend.Gone.IsCancellationRequested
            : await DeathNews.IsDeadAsync(lease.Backend, time, context.RequestAborted);
        if (!isDead)
        {
            run.Ticket.FailedOn(lease.Backend);
        }

        var isSuspect = isDead && wasAlone && end == AttemptEnd.Failed && registry.CrashedByItself(lease.Backend);
        if (run.Next(isDead, isSuspect, end, request.Model.Options.Retry.MaxAttempts) is { } error)
        {
            return await RefuseAsync(run, error);
        }

        if (!scheduler.TryGoBack(run.Ticket, ReasonOf(isDead, end)))
        {
            return await RefuseAsync(run, ApiErrors.BackendFailed);
        }

        if (hasAnswered && !isDead && !HasElsewhereToGo(run.Ticket))
        {
            // The same one again: what made it fail may need a moment.
            await Task.Delay(RetryBackoff.After(run.Failures, Random.Shared.NextDouble()), time, context.RequestAborted);
        }

        return null;
    }

    private bool HasElsewhereToGo(QueueTicket ticket) => registry.Snapshot(ticket.Request.Model.Name).Entries
        .Any(entry => entry is { Condition: BackendCondition.Ready, Backend: { } other } && !ticket.FailedBy(other));

    private static RetryReason ReasonOf(bool isDead, AttemptEnd end) => end switch
    {
        _ when isDead => RetryReason.Death,
        AttemptEnd.Unreachable => RetryReason.Unreachable,
        AttemptEnd.Loading => RetryReason.Loading,
        _ => RetryReason.Failed,
    };

    /// <summary>The backend's work is done and its slot goes to the next one, while the client may still be reading.</summary>
    private void Finish(Run run, Attempt attempt, SlotLease lease)
    {
        lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        Count(run, attempt, lease);
        lease.Dispose();
    }

    private void Count(Run run, Attempt attempt, SlotLease lease)
    {
        var request = run.Ticket.Request;
        if (attempt.Usage is not { } usage || run.IsCounted)
        {
            return;
        }

        run.IsCounted = true;

        lease.Spend(usage.Prompt, Math.Min(usage.Cached, usage.Prompt), usage.Completion);
        RequestTrace.Usage(run.Span, usage);
        request.Progress?.Tokens(usage.Prompt, usage.Completion);
        metrics.Tokens(request.Model.Name, request.Key, usage.Prompt, Math.Min(usage.Cached, usage.Prompt), usage.Completion);
        if (request is { Stream: true, IsOneAnswer: true } && usage.Completion > 1)
        {
            metrics.PerToken(request.Model.Name, time.GetElapsedTime(run.FirstTokenAt) / (usage.Completion - 1));
        }
    }

    private static async Task<RequestOutcome> RefuseAsync(Run run, ApiError error)
    {
        await run.Answer.RefuseAsync(error, headers => run.Describe(headers, run.Backend));
        return RequestMetrics.OutcomeOf(error);
    }

    /// <summary>What has happened to one request so far.</summary>
    private sealed class Run(QueueTicket ticket, ClientAnswer answer, Activity? span)
    {
        private int _deaths;
        private int _deathsAlone;

        public QueueTicket Ticket { get; } = ticket;

        public ClientAnswer Answer { get; } = answer;

        /// <summary>The request's span, when it is traced.</summary>
        public Activity? Span { get; } = span;

        public int Grants { get; set; }

        /// <summary>Who had the last grant; null before the first.</summary>
        public string? Backend { get; set; }

        /// <summary>Tries that living backends have failed.</summary>
        public int Failures { get; private set; }

        public long FirstTokenAt { get; set; }

        /// <summary>True once the answer's tokens are on the books.</summary>
        public bool IsCounted { get; set; }

        /// <summary>Tells how far the request has come.</summary>
        public void Describe(IHeaderDictionary headers, string? backend)
        {
            headers["x-llmgateway-model"] = Ticket.Request.Model.Name;
            if (backend is not null)
            {
                headers["x-llmgateway-backend"] = backend;
            }

            headers["x-llmgateway-queue-ms"] = ((long)Ticket.Waited.TotalMilliseconds).ToString(System.Globalization.CultureInfo.InvariantCulture);
            headers["x-llmgateway-attempts"] = Grants.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        /// <summary>Null to try again; else the error that ends it.</summary>
        public ApiError? Next(bool isDead, bool isSuspect, AttemptEnd end, int maxAttempts)
        {
            if (isDead || end is AttemptEnd.Unreachable or AttemptEnd.Loading)
            {
                // A death costs the request nothing, unless it is the cause.
                _deathsAlone += isSuspect ? 1 : 0;
                return _deathsAlone >= MostDeathsAlone ? ApiErrors.RequestQuarantined : ++_deaths >= MostDeaths ? ApiErrors.BackendFailed : null;
            }

            return ++Failures >= maxAttempts ? ApiErrors.BackendFailed : null;
        }
    }
    /// <summary>What an attempt's course means for its request.</summary>
    private sealed class Course(InferenceHandler handler, Run run, SlotLease lease, Activity? span, Recovery? recovery) : IAttemptWatcher
    {
        private readonly InferenceRequest _request = run.Ticket.Request;

        private TimeSpan SinceArrival => handler.Time.GetElapsedTime(_request.ArrivedAt);

        public void Sending() => _request.Overhead.Pause();

        public void Started() => lease.MarkStarted();

        public void FirstToken()
        {
            run.FirstTokenAt = handler.Time.GetTimestamp();
            _request.Overhead.Enter(OverheadPhase.FirstToken);
            lease.MarkFirstToken(handler.Time.GetElapsedTime(lease.GrantedAt));
            RequestTrace.FirstToken(run.Span, span, SinceArrival);
            _request.Progress?.FirstToken();
            if (_request.Stream)
            {
                handler.Metrics.FirstToken(_request.Model.Name, _request.Priority, SinceArrival);
            }
        }

        public void FirstTokenWritten()
        {
            _request.Overhead.Pause();
            handler.Metrics.Overhead(_request.Overhead);
        }

        public void Whole(Attempt attempt) => handler.Finish(run, attempt, recovery?.Lease ?? lease);

        public void DescribeRoute(IHeaderDictionary headers)
        {
            RequestId.Show(headers, _request.Endpoint.Dialect, _request.Id);
            run.Describe(headers, lease.Backend.Name);
        }
    }
}
