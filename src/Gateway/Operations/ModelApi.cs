using System.Globalization;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling;

namespace LlmGateway.Gateway.Operations;

/// <summary>What operators order of whole models and of the configuration. The configuration itself never comes over the wire: only the file is read again.</summary>
internal static class ModelApi
{
    public static void MapModelApi(this IEndpointRouteBuilder endpoints, LiveCatalogue live, ModelKeeper keeper, Reloader reloader, ILogger logger)
    {
        endpoints.MapPost("/api/reload", async Task<IResult> (HttpContext context, bool? wait, bool? plan) =>
        {
            if (live.Options.Management.ReadOnly)
            {
                return ReadOnly;
            }

            var source = SourceOf(context);
            Log.ReloadCommanded(logger, plan == true ? "plan" : "reload", source);
            var attempt = plan == true ? reloader.Plan() : reloader.Reload($"command from {source}");
            return attempt.Errors.IsEmpty ? await AcceptedAsync(context, attempt, wait == true || plan == true) : Refused(attempt);
        });
        foreach (var verb in new[] { "load", "unload" })
        {
            endpoints.MapPost($"/api/models/{{model}}/{verb}", Task<IResult> (HttpContext context, string model, bool? wait) =>
                OrderAsync(context, live, model, verb, wait == true, logger, (name, cancellationToken) => keeper.AskAsync(name, verb == "load", cancellationToken)));
        }

        endpoints.MapPost("/api/models/{model}/scale/{replicas:int}", Task<IResult> (HttpContext context, string model, int replicas, bool? wait) =>
            OrderAsync(
                context, live, model, $"scale to {replicas.ToString(CultureInfo.InvariantCulture)}", wait == true, logger,
                (name, cancellationToken) => keeper.ScaleAsync(name, replicas, cancellationToken)));
    }

    private static ApiErrorResult ReadOnly => new(new ApiError(403, "read_only", "Commands are switched off (Management:ReadOnly)."));

    private static IResult Refused(ReloadAttempt attempt) => Results.Json(
        new { error = new { message = $"The configuration is wrong: {attempt.Errors[0]}", type = "invalid_request_error", code = "invalid_configuration", param = (string?)null }, errors = attempt.Errors },
        statusCode: StatusCodes.Status422UnprocessableEntity);

    private static async Task<IResult> AcceptedAsync(HttpContext context, ReloadAttempt attempt, bool wait)
    {
        var change = attempt.Change!;
        if (!wait)
        {
            return Results.Json(new { change, plan = change.Describe() }, StatusReport.Json, statusCode: StatusCodes.Status202Accepted);
        }

        var problems = await attempt.Applied.WaitAsync(context.RequestAborted);
        return Results.Json(
            new { change, plan = change.Describe(), problems },
            StatusReport.Json,
            statusCode: problems.IsEmpty ? StatusCodes.Status200OK : StatusCodes.Status500InternalServerError);
    }

    /// <summary>Answers 202 at once, or 200 when it is done; 409 when it can't be, which for some orders is known at once.</summary>
    private static async Task<IResult> OrderAsync(
        HttpContext context, LiveCatalogue live, string model, string verb, bool wait, ILogger logger, Func<string, CancellationToken, Task<string?>> order)
    {
        if (live.Options.Management.ReadOnly)
        {
            return ReadOnly;
        }

        var name = Uri.UnescapeDataString(model);
        if (live.Current.Models.All(known => known.Name != name))
        {
            return new ApiErrorResult(new ApiError(404, "unknown_model", "The configuration names no such model; /api/status lists them."));
        }

        Log.ModelCommanded(logger, verb, name, SourceOf(context));
        var done = CarryOutAsync(order(name, wait ? context.RequestAborted : CancellationToken.None), verb, name, logger);
        if (!wait && !done.IsCompleted)
        {
            return Results.StatusCode(StatusCodes.Status202Accepted);
        }

        return await done is { } problem ? new ApiErrorResult(new ApiError(409, "not_done", problem)) : Results.StatusCode(wait ? StatusCodes.Status200OK : StatusCodes.Status202Accepted);
    }

    private static async Task<string?> CarryOutAsync(Task<string?> order, string verb, string model, ILogger logger)
    {
        var problem = await order;
        if (problem is not null)
        {
            Log.ModelCommandFailed(logger, verb, model, problem);
        }

        return problem;
    }

    private static string SourceOf(HttpContext context) => context.Connection.RemoteIpAddress?.ToString() ?? "unknown";
}
