using System.Net.Http.Headers;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Carries an administrator's call to one ready backend and its answer back, whatever its status: asked once, no slot taken, both bodies bounded.</summary>
internal sealed class UpstreamRelay(
    Scheduler scheduler, BackendInvokers invokers, RequestReader reader, RequestMetrics metrics, TimeProvider time, ILogger<UpstreamRelay> logger)
{
    private const int LongestAnswer = 16 * 1024 * 1024;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Answers the call; never throws for what a client or a backend does.</summary>
    public async Task RelayAsync(HttpContext context, UpstreamCall call)
    {
        var error = await TryRelayAsync(context, call);
        if (error is not null)
        {
            await ApiErrorWriter.WriteAsync(context, error, ApiDialect.OpenAi, context.TraceIdentifier);
        }

        metrics.Ended(call.Model.Name, "upstream", context.Response.StatusCode, error is null ? RequestOutcome.Ok : RequestMetrics.OutcomeOf(error));
    }

    private async Task<ApiError?> TryRelayAsync(HttpContext context, UpstreamCall call)
    {
        if (scheduler.AnyReady(call.Model) is not { } backend)
        {
            return ApiErrors.NoBackend(TimeSpan.FromSeconds(1));
        }

        var (read, unread) = HttpMethods.IsPost(context.Request.Method) ? await reader.ReadBodyAsync(context) : (null, null);
        if (unread is not null)
        {
            return unread;
        }

        using var body = read;
        using var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), new Uri(backend.Address.BaseUri, call.Path.TrimStart('/') + UpstreamCall.Query(context.Request.Query)));
        if (backend.ApiKey is { } key)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }

        if (body is not null)
        {
            request.Content = new ReadOnlyMemoryContent(body.Bytes) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        }

        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, context.RequestAborted, backend.Gone);
        try
        {
            using var answer = await invokers.For(backend, call.Model.Options.Timeouts.Connect).SendAsync(request, either.Token);
            await answer.Content.LoadIntoBufferAsync(LongestAnswer, either.Token);
            var response = context.Response;
            response.StatusCode = (int)answer.StatusCode;
            response.ContentType = answer.Content.Headers.ContentType?.ToString();
            response.Headers["x-llmgateway-model"] = call.Model.Name;
            response.Headers["x-llmgateway-backend"] = backend.Name;
            response.ContentLength = answer.Content.Headers.ContentLength;
            if (!HttpMethods.IsHead(context.Request.Method))
            {
                await answer.Content.CopyToAsync(response.Body, context.RequestAborted);
            }

            return null;
        }
        catch (Exception e) when (!context.RequestAborted.IsCancellationRequested && e is HttpRequestException or IOException or OperationCanceledException)
        {
            Log.UpstreamFailed(logger, context.TraceIdentifier, backend.Name, call.Path, e.GetBaseException().Message);
            return patience.IsCancellationRequested ? ApiErrors.BackendTimeout : ApiErrors.BackendFailed;
        }
    }
}
