using System.Globalization;
using System.Text.Json;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Operations;

/// <summary><c>/api/events</c>: what happened and what happens, as server-sent events, or as a list for whoever asks for JSON.</summary>
/// <remarks>A client that resumes names the last id that it has seen (<c>Last-Event-ID</c> or <c>?after=</c>); one that names none gets all that is kept, or the last <c>?tail=</c>.</remarks>
internal sealed class EventStream(EventFeed feed, StreamLimit limit, TimeProvider time)
{
    /// <summary>Longest silence on the line.</summary>
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(15);

    private const int AtOnce = 200;

    public async Task AnswerAsync(HttpContext context, long? after, int? tail)
    {
        var last = Begin(context, after, tail);
        if (context.Request.Headers.Accept.ToString().Contains("application/json", StringComparison.OrdinalIgnoreCase))
        {
            await Results.Json(feed.After(last).Events, StatusReport.Json).ExecuteAsync(context);
            return;
        }

        await limit.RunAsync(context, ended => FollowAsync(new ServerSentEvents(context.Response), last, ended));
    }

    private long Begin(HttpContext context, long? after, int? tail)
    {
        if (long.TryParse(context.Request.Headers["Last-Event-ID"], NumberStyles.None, CultureInfo.InvariantCulture, out var resumed))
        {
            return resumed;
        }

        return after ?? (tail is { } count ? feed.LastId - Math.Clamp(count, 0, EventFeed.Capacity) : 0);
    }

    private async Task FollowAsync(ServerSentEvents client, long last, CancellationToken ended)
    {
        await client.BeginAsync(ended);
        if (client.IsHeadOnly)
        {
            return;
        }

        while (true)
        {
            var page = feed.After(last, AtOnce);
            if (page.HasGap)
            {
                await client.SendAsync("gap", null, "{}"u8.ToArray(), ended);
            }

            foreach (var one in page.Events)
            {
                last = one.Id;
                await client.SendAsync(JsonNamingPolicy.SnakeCaseLower.ConvertName(one.Kind.ToString()), one.Id, JsonSerializer.SerializeToUtf8Bytes(one, StatusReport.Compact), ended);
            }

            if (page.Events.IsEmpty)
            {
                await WaitAsync(client, page.More, ended);
            }
        }
    }

    private async Task WaitAsync(ServerSentEvents client, Task more, CancellationToken ended)
    {
        try
        {
            await more.WaitAsync(Heartbeat, time, ended);
        }
        catch (TimeoutException)
        {
            await client.StillHereAsync(ended);
        }
    }
}
