using System.Collections.Immutable;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations.Login;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Operations;

/// <summary><c>/api/requests</c>: what is in the gateway and what was lately, without its text; and the command that ends one.</summary>
internal sealed class RequestList(RequestLedger ledger, EventFeed feed)
{
    private const int Most = 500;

    public void Map(IEndpointRouteBuilder endpoints, string[] read)
    {
        endpoints.MapMethods("/api/requests", read, (int? limit) => Results.Json(Report(limit ?? 100), StatusReport.Json));
        endpoints.MapPost("/api/requests/{id}/cancel", async Task<IResult> (HttpContext context, string id, bool? wait) =>
        {
            var ends = ledger.Cancel(id);
            if (ends.IsEmpty)
            {
                return new ApiErrorResult(new ApiError(404, "unknown_request", "No request of that id is in the gateway; it may have ended."));
            }

            feed.Publish(EventKind.Command, "gateway", $"{ends.Length} request{(ends.Length == 1 ? " was" : "s were")} cancelled by {context.Features.Get<Operator>()}.");
            if (wait == true)
            {
                await Task.WhenAll(ends).WaitAsync(context.RequestAborted);
            }

            return Results.Json(new { cancelled = ends.Length }, statusCode: wait == true ? StatusCodes.Status200OK : StatusCodes.Status202Accepted);
        });
    }

    /// <summary>The lists, each at most so long.</summary>
    public RequestsReport Report(int limit)
    {
        var most = Math.Clamp(limit, 1, Most);
        return new RequestsReport([.. ledger.Current(most).Select(RequestReport.Of)], [.. ledger.Recent(most).Select(RequestReport.Of)]);
    }
}

/// <summary>Both lists: the current ones oldest first, the ended ones latest first.</summary>
internal sealed record RequestsReport(ImmutableArray<RequestReport> Current, ImmutableArray<RequestReport> Recent);

/// <summary>One request, times in milliseconds.</summary>
internal sealed record RequestReport(
    string Id, string Model, string Endpoint, string Key, string Priority, bool Stream, DateTimeOffset ArrivedAt, string Stage, string? Backend, int Attempts,
    double QueueMs, double? FirstTokenMs, double? DurationMs, long? PromptTokens, long? CompletionTokens, string? Outcome, int? Status)
{
    public static RequestReport Of(RequestFacts facts) => new(
        facts.Id, facts.Model, facts.Endpoint, facts.Key, facts.Priority.ToLabel(), facts.Stream, facts.ArrivedAt,
        facts.Stage switch { RequestStage.Queued => "queued", RequestStage.Running => "running", _ => "ended" },
        facts.Backend, facts.Attempts, Milliseconds(facts.Waited)!.Value, Milliseconds(facts.FirstToken), Milliseconds(facts.Took),
        facts.PromptTokens, facts.CompletionTokens, facts.Outcome is { } outcome ? RequestMetrics.Name(outcome) : null, facts.Status);

    private static double? Milliseconds(TimeSpan? time) => time is { } span ? Math.Round(span.TotalMilliseconds, 1) : null;
}
