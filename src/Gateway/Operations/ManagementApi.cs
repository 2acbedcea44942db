using LlmGateway.Gateway.Operations.Dashboard;

namespace LlmGateway.Gateway.Operations;

/// <summary>What operators ask and order. Paths name only things that the configuration names; no body carries a path, an argument or a command.</summary>
internal static class ManagementApi
{
    private static readonly string[] Read = [HttpMethods.Get, HttpMethods.Head];

    /// <summary>Health, status, events, logs, requests, commands and the page.</summary>
    /// <param name="endpoints">The management listener's.</param>
    /// <param name="rooms">Where the gateway's own rooms are found.</param>
    public static void MapManagementApi(this IEndpointRouteBuilder endpoints, IServiceProvider rooms)
    {
        var lifecycle = rooms.GetRequiredService<Lifecycle>();
        var reporter = rooms.GetRequiredService<StatusReporter>();
        var events = rooms.GetRequiredService<EventStream>();
        endpoints.MapMethods("/healthz", Read, () => Results.Text("ok"));
        endpoints.MapMethods("/readyz", Read, () => lifecycle.IsReady ? Results.Text("ready") : Results.Text("not ready", statusCode: 503));
        endpoints.MapMethods("/", Read, DashboardPage.WriteAsync);
        endpoints.MapMethods("/api/status", Read, () => Results.Json(reporter.Report(), StatusReport.Json));
        endpoints.MapMethods("/api/replicas/{model}/{index:int}", Read, (string model, int index) =>
            reporter.Report(Uri.UnescapeDataString(model), index) is { } replica ? Results.Json(replica, StatusReport.Json) : (IResult)ReplicaCommands.UnknownReplica());
        endpoints.MapMethods("/api/events", Read, (HttpContext context, long? after, int? tail) => events.AnswerAsync(context, after, tail));
        rooms.GetRequiredService<LiveView>().Map(endpoints, Read);
        rooms.GetRequiredService<RequestList>().Map(endpoints, Read);
        rooms.GetRequiredService<ReplicaLogs>().Map(endpoints, Read);
        rooms.GetRequiredService<ReplicaCommands>().Map(endpoints);
    }
}
