using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling;

namespace LlmGateway.Gateway.Operations;

/// <summary>What operators order of whole models and of the configuration. The configuration itself never comes over the wire: only the file is read again.</summary>
internal static class ModelApi
{
    public static void MapModelApi(this IEndpointRouteBuilder endpoints, LiveCatalogue live, Reloader reloader, ILogger logger) =>
        endpoints.MapPost("/api/reload", async Task<IResult> (HttpContext context, bool? wait, bool? plan) =>
        {
            if (live.Options.Management.ReadOnly)
            {
                return new ApiErrorResult(new ApiError(403, "read_only", "Commands are switched off (Management:ReadOnly)."));
            }

            var source = context.Connection.RemoteIpAddress?.ToString() ?? "unknown";
            Log.ReloadCommanded(logger, plan == true ? "plan" : "reload", source);
            var attempt = plan == true ? reloader.Plan() : reloader.Reload($"command from {source}");
            if (!attempt.Errors.IsEmpty)
            {
                return Results.Json(
                    new { error = new { message = $"The configuration is wrong: {attempt.Errors[0]}", type = "invalid_request_error", code = "invalid_configuration", param = (string?)null }, errors = attempt.Errors },
                    statusCode: StatusCodes.Status422UnprocessableEntity);
            }

            var change = attempt.Change!;
            if (wait != true && plan != true)
            {
                return Results.Json(new { change, plan = change.Describe() }, StatusReport.Json, statusCode: StatusCodes.Status202Accepted);
            }

            var problems = await attempt.Applied.WaitAsync(context.RequestAborted);
            return Results.Json(
                new { change, plan = change.Describe(), problems },
                StatusReport.Json,
                statusCode: problems.IsEmpty ? StatusCodes.Status200OK : StatusCodes.Status500InternalServerError);
        });
}
