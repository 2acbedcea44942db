using System.Collections.Immutable;
using System.Text.Json;
using LlmGateway.Gateway.Operations.History;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Operations;

/// <summary><c>/api/live</c>: all that the dashboard shows, as server-sent events: the status each second, the history each ten, events as they happen.</summary>
/// <remarks>However many watch, each frame is made once: one viewer neither slows another down nor changes what it sees.</remarks>
internal sealed class LiveView(StatusReporter reporter, RequestList requests, EventFeed feed, StreamLimit limit, TimeProvider time)
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    private const int HistoryEvery = 10;
    private const int EventsAtOnce = 200;
    private const int RequestsShown = 50;

    private readonly Lock _lock = new();
    private Frame? _frame;

    public void Map(IEndpointRouteBuilder endpoints, string[] read)
    {
        endpoints.MapMethods("/api/live", read, (HttpContext context) => limit.RunAsync(context, ended => FollowAsync(new ServerSentEvents(context.Response), ended)));
        endpoints.MapMethods("/api/history", read, () => Results.Json(reporter.History(), StatusReport.Compact));
    }

    private async Task FollowAsync(ServerSentEvents client, CancellationToken ended)
    {
        await client.BeginAsync(ended);
        if (client.IsHeadOnly)
        {
            return;
        }

        var last = 0L;
        for (var ticks = 0; ; ticks++)
        {
            var frame = Current();
            await client.SendAsync("status", null, frame.Status, ended);
            await client.SendAsync("requests", null, frame.Requests, ended);
            if (ticks % HistoryEvery == 0)
            {
                await client.SendAsync("history", null, JsonSerializer.SerializeToUtf8Bytes(reporter.History(), StatusReport.Compact), ended);
            }

            var due = time.GetTimestamp();
            while (true)
            {
                var page = feed.After(last, EventsAtOnce);
                if (!page.Events.IsEmpty)
                {
                    last = page.Events[^1].Id;
                    await client.SendAsync("events", last, JsonSerializer.SerializeToUtf8Bytes(page.Events, StatusReport.Compact), ended);
                    continue;
                }

                var left = Tick - time.GetElapsedTime(due);
                if (left <= TimeSpan.Zero || !await HappensWithinAsync(page.More, left, ended))
                {
                    break;
                }
            }
        }
    }

    private async Task<bool> HappensWithinAsync(Task more, TimeSpan left, CancellationToken ended)
    {
        try
        {
            await more.WaitAsync(left, time, ended);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private Frame Current()
    {
        lock (_lock)
        {
            if (_frame is null || time.GetElapsedTime(_frame.MadeAt) > Tick / 2)
            {
                _frame = new Frame(
                    time.GetTimestamp(),
                    JsonSerializer.SerializeToUtf8Bytes(reporter.Report(withLogs: false), StatusReport.Compact),
                    JsonSerializer.SerializeToUtf8Bytes(requests.Report(RequestsShown), StatusReport.Compact));
            }

            return _frame;
        }
    }

    private sealed record Frame(long MadeAt, byte[] Status, byte[] Requests);
}

/// <summary>The last quarter of an hour: by model its traffic, by backend its traffic and health.</summary>
internal sealed record HistoryReport(
    double StepSeconds, ImmutableDictionary<string, TrafficReport> Models, ImmutableDictionary<string, BackendHistory> Backends);

/// <summary>One backend's: how it was (a letter a step) and what it did.</summary>
internal sealed record BackendHistory(string? Health, TrafficReport? Traffic);
