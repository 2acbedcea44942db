using System.Collections.Frozen;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Operations;

/// <summary>What operators ask and order. Paths name only things that the configuration names; no body carries a path, an argument or a command.</summary>
internal static class ManagementApi
{
    private const int MostLines = 2000;

    private static readonly FrozenDictionary<string, ReplicaVerb> Verbs =
        Enum.GetValues<ReplicaVerb>().ToFrozenDictionary(verb => verb.ToString(), StringComparer.OrdinalIgnoreCase);

    public static void MapManagementApi(
        this IEndpointRouteBuilder endpoints, Lifecycle lifecycle, StatusReporter reporter, EventStream events, BackendSources sources, GatewayOptions options, ILogger logger)
    {
        string[] read = [HttpMethods.Get, HttpMethods.Head];
        endpoints.MapMethods("/healthz", read, () => Results.Text("ok"));
        endpoints.MapMethods("/readyz", read, () => lifecycle.IsReady ? Results.Text("ready") : Results.Text("not ready", statusCode: 503));
        endpoints.MapMethods("/api/status", read, () => Results.Json(reporter.Report(), StatusReport.Json));
        endpoints.MapMethods("/api/events", read, (HttpContext context, long? after, int? tail) => events.AnswerAsync(context, after, tail));
        endpoints.MapMethods("/api/replicas/{model}/{index:int}/logs", read, (string model, int index, int? tail) =>
            Find(sources, model, index) is { } set
                ? Results.Text(string.Concat(set.LogTail(index, Math.Clamp(tail ?? 200, 1, MostLines)).Select(line => line + "\n")))
                : (IResult)UnknownReplica());
        endpoints.MapPost("/api/replicas/{model}/{index:int}/{verb}", async Task<IResult> (HttpContext context, string model, int index, string verb, bool? wait) =>
        {
            if (options.Management.ReadOnly)
            {
                return new ApiErrorResult(new ApiError(403, "read_only", "Commands are switched off (Management:ReadOnly)."));
            }

            if (!Verbs.TryGetValue(verb, out var wanted))
            {
                return new ApiErrorResult(new ApiError(404, "unknown_verb", $"Known are {string.Join(", ", Verbs.Keys.Select(known => known.ToLowerInvariant()))}."));
            }

            if (Find(sources, model, index) is not { } set)
            {
                return UnknownReplica();
            }

            Log.Commanded(logger, wanted, set.Model, index, context.Connection.RemoteIpAddress?.ToString() ?? "unknown");
            var done = set.CommandAsync(index, wanted, wait == true ? context.RequestAborted : CancellationToken.None);
            if (wait != true)
            {
                _ = done.ContinueWith(
                    task => Log.CommandFailed(logger, wanted, set.Model, index, task.Exception!.GetBaseException().Message),
                    CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
                return Results.StatusCode(StatusCodes.Status202Accepted);
            }

            await done;
            return Results.Ok();
        });
    }

    private static IReplicaSet? Find(BackendSources sources, string model, int index) =>
        sources.Replicas(Uri.UnescapeDataString(model)) is { } set && index >= 0 && index < set.Statuses.Length ? set : null;

    private static ApiErrorResult UnknownReplica() =>
        new(new ApiError(404, "unknown_replica", "The configuration names no such replica; /api/status lists them."));
}
