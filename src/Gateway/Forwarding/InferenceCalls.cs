using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using Microsoft.AspNetCore.Http.Features;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>A call of an inference endpoint: read and understood, or refused, before it is carried anywhere.</summary>
internal sealed class InferenceCalls(RequestReader reader, InferenceHandler handler, RequestMetrics metrics)
{
    /// <summary>Answers the call; never throws for what a client or a backend does.</summary>
    /// <param name="context">The client's call.</param>
    /// <param name="endpoint">What it calls.</param>
    /// <param name="path">Which of the endpoint's paths, in the endpoint's own spelling.</param>
    /// <param name="fixedModel">The model, when the call's address has named it already; then the body does not decide.</param>
    public async Task AnswerAsync(HttpContext context, InferenceEndpoint endpoint, string path, Model? fixedModel = null)
    {
        var arrival = context.Features.GetRequiredFeature<Arrival>();
        var (request, error) = await reader.ReadAsync(context, endpoint, path, arrival.Caller, context.TraceIdentifier, fixedModel);
        if (request is null)
        {
            metrics.Ended(RequestMetrics.NoModel, endpoint.Name, error!.Status, RequestMetrics.OutcomeOf(error));
            await ApiErrorWriter.WriteAsync(context, error, endpoint.Dialect, context.TraceIdentifier);
            return;
        }

        using (request)
        {
            await handler.HandleAsync(context, request, arrival.Span);
        }
    }
}
