using System.Text.Json;
using LlmGateway.Gateway.Requests;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing.Stacks.Formats;

namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary><c>/debug/</c>: profiles of the gateway itself, taken by its own runtime while it works.</summary>
internal static class ProfilerApi
{
    private const int MostSeconds = 60;

    /// <summary>Long enough for the sampler, which looks a thousand times a second, to see every thread.</summary>
    private static readonly TimeSpan StackSample = TimeSpan.FromMilliseconds(50);

    /// <summary>A full collection of the runtime's own, made at the same time, can be taken for the snapshot's; hardly so three times in a row.</summary>
    private const int MostSnapshots = 3;

    /// <summary>The longest that a snapshot of the heap may take.</summary>
    private static readonly TimeSpan HeapLimit = TimeSpan.FromSeconds(60);

    private static readonly JsonSerializerOptions Indented = new(JsonSerializerDefaults.Web) { WriteIndented = true };
    private static readonly JsonSerializerOptions OneLine = new(JsonSerializerDefaults.Web);

    private static readonly (ProfileKind Kind, string Query, string What)[] Kinds =
    [
        (ProfileKind.Trace, "trace?seconds=10", "CPU samples as .nettrace (dotnet-trace, Visual Studio, PerfView); with &format=speedscope for https://www.speedscope.app."),
        (ProfileKind.GcHeap, "gcheap", "Objects on the heap by type. Begins with a full collection: everything stands still for it."),
        (ProfileKind.Stacks, "stacks", "Where each thread stands."),
        (ProfileKind.Allocations, "allocations?seconds=10", "What is allocated, by type, from a sample for each 100 KiB."),
        (ProfileKind.Contention, "contention?seconds=10", "Which locks are waited for, with stacks."),
        (ProfileKind.Counters, "counters?seconds=10", "The runtime's numbers, a line of JSON a second."),
    ];

    public static void MapProfiler(this IEndpointRouteBuilder endpoints, TimeProvider time, ILogger logger)
    {
        var gate = new ProfilerGate();
        endpoints.MapGet("/debug", () => Results.Json(Index(gate), Indented));
        endpoints.MapGet("/debug/trace", (HttpContext context, int? seconds, string? format) => format switch
        {
            null or "nettrace" => RunAsync(context, ProfileKind.Trace, seconds, duration => TraceAsync(context, duration, time)),
            "speedscope" => RunAsync(context, ProfileKind.Trace, seconds, duration => SpeedscopeAsync(context, duration, time)),
            _ => RefuseAsync(context, ApiErrors.InvalidParameter("format", "must be nettrace or speedscope")),
        });
        endpoints.MapGet("/debug/gcheap", (HttpContext context) => RunAsync(context, ProfileKind.GcHeap, null, async _ =>
        {
            TypeCounts? counts = null;
            for (var tries = 0; counts is null && tries < MostSnapshots; tries++)
            {
                await ProfileSession.SnapshotAsync(HeapLimit, time, async (events, cancellationToken) => counts = await HeapCount.SnapshotAsync(events, cancellationToken), context.RequestAborted);
            }

            await (counts is null
                ? RefuseAsync(context, new ApiError(503, "profile_incomplete", "The runtime gave no whole snapshot; try again."))
                : context.Response.WriteAsJsonAsync(counts, Indented, context.RequestAborted));
        }));
        endpoints.MapGet("/debug/stacks", (HttpContext context) => RunAsync(context, ProfileKind.Stacks, null, async _ =>
        {
            using var file = await ProfileFile.RecordAsync(ProfileSession.Cpu, StackSample, time, context.RequestAborted);
            await context.Response.WriteAsJsonAsync(new { threads = ThreadStacks.FirstOfEach(file.Stacks()) }, Indented, context.RequestAborted);
        }));
        endpoints.MapGet("/debug/allocations", (HttpContext context, int? seconds) => RunAsync(context, ProfileKind.Allocations, seconds, async duration =>
        {
            TypeCounts? counts = null;
            await ProfileSession.RunAsync(
                ProfileSession.Allocations, duration, withNames: false, time, async (events, cancellationToken) => counts = await HeapCount.AllocationsAsync(events, cancellationToken), context.RequestAborted);
            await context.Response.WriteAsJsonAsync(counts, Indented, context.RequestAborted);
        }));
        endpoints.MapGet("/debug/contention", (HttpContext context, int? seconds) => RunAsync(context, ProfileKind.Contention, seconds, async duration =>
        {
            using var file = await ProfileFile.RecordAsync(ProfileSession.Contention, duration, time, context.RequestAborted);
            await context.Response.WriteAsJsonAsync(new { places = ThreadStacks.Contended(file.Log) }, Indented, context.RequestAborted);
        }));
        endpoints.MapGet("/debug/counters", (HttpContext context, int? seconds) => RunAsync(context, ProfileKind.Counters, seconds, duration => CountAsync(context, duration, time)));

        async Task RunAsync(HttpContext context, ProfileKind kind, int? seconds, Func<TimeSpan, Task> profile)
        {
            if (seconds is < 1 or > MostSeconds)
            {
                await RefuseAsync(context, ApiErrors.InvalidParameter("seconds", $"must be 1 to {MostSeconds}"));
                return;
            }

            using var place = gate.TryEnter(kind);
            if (place is null)
            {
                await RefuseAsync(context, new ApiError(409, "profile_running", "A profile of this kind is being taken; one of a kind at a time."));
                return;
            }

            Log.Profiling(logger, kind, context.Connection.RemoteIpAddress?.ToString() ?? "unknown");
            try
            {
                await profile(TimeSpan.FromSeconds(seconds ?? 10));
            }
            catch (Exception e) when (e is DiagnosticsClientException or ServerNotAvailableException)
            {
                await RefuseAsync(context, new ApiError(501, "profiler_unavailable", "The runtime's diagnostics are switched off (DOTNET_EnableDiagnostics)."));
            }
        }
    }

    private static object Index(ProfilerGate gate) => new
    {
        mostSeconds = MostSeconds,
        mostBytes = ProfileFile.MostBytes,
        profiles = Kinds.Select(kind => new { name = kind.Query.Split('?')[0], href = $"debug/{kind.Query}", what = kind.What, running = gate.IsRunning(kind.Kind) }),
    };

    private static Task RefuseAsync(HttpContext context, ApiError error) => ApiErrorWriter.WriteAsync(context, error, ApiDialect.OpenAi, context.TraceIdentifier);

    private static Task TraceAsync(HttpContext context, TimeSpan duration, TimeProvider time)
    {
        Attach(context, "application/octet-stream", "llm-gateway.nettrace");
        return ProfileSession.RunAsync(
            ProfileSession.Cpu,
            duration,
            withNames: true,
            time,
            (events, cancellationToken) => BoundedCopy.RunAsync(events, context.Response.Body, ProfileFile.MostBytes, cancellationToken),
            context.RequestAborted);
    }

    private static async Task SpeedscopeAsync(HttpContext context, TimeSpan duration, TimeProvider time)
    {
        using var file = await ProfileFile.RecordAsync(ProfileSession.Cpu, duration, time, context.RequestAborted);
        var path = file.PathOf("speedscope.json");
        SpeedScopeStackSourceWriter.WriteStackViewAsJson(file.Stacks(), path);
        Attach(context, "application/json", "llm-gateway.speedscope.json");
        await context.Response.SendFileAsync(path, context.RequestAborted);
    }

    private static async Task CountAsync(HttpContext context, TimeSpan duration, TimeProvider time)
    {
        var second = TimeSpan.FromSeconds(1);
        context.Response.ContentType = "application/x-ndjson";
        var before = RuntimeCounters.Totals.Now(time);
        for (var left = duration; left > TimeSpan.Zero; left -= second)
        {
            await Task.Delay(second, time, context.RequestAborted);
            var after = RuntimeCounters.Totals.Now(time);
            await context.Response.WriteAsync(JsonSerializer.Serialize(RuntimeCounters.Between(before, after, time), OneLine) + "\n", context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
            before = after;
        }
    }

    private static void Attach(HttpContext context, string type, string name)
    {
        context.Response.ContentType = type;
        context.Response.Headers.ContentDisposition = $"attachment; filename=\"{name}\"";
    }
}
