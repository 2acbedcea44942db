using System.Text;
using LlmGateway.Gateway.Backends;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Operations;

/// <summary><c>/api/replicas/{model}/{n}/logs</c>: what a replica has written, and with <c>?follow=true</c> what it writes.</summary>
internal sealed class ReplicaLogs(BackendSources sources, StreamLimit limit, TimeProvider time)
{
    private const int MostLines = 2_000;
    private const int UsualLines = 200;

    /// <summary>How long lines are gathered before they are sent: a chatty server costs one write a moment, not one a line.</summary>
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(200);

    /// <summary>When a silent replica is looked at again: it may be gone.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(15);

    public void Map(IEndpointRouteBuilder endpoints, string[] read) => endpoints.MapMethods(
        "/api/replicas/{model}/{index:int}/logs", read, async (HttpContext context, string model, int index, int? tail, bool? follow) =>
        {
            if (sources.Replicas(Uri.UnescapeDataString(model)) is not { } set || index < 0 || index >= set.Statuses.Length)
            {
                await ReplicaCommands.UnknownReplica().ExecuteAsync(context);
                return;
            }

            context.Response.Headers.XContentTypeOptions = "nosniff";
            var lines = Math.Clamp(tail ?? UsualLines, 0, MostLines);
            if (follow == true && HttpMethods.IsGet(context.Request.Method))
            {
                await limit.RunAsync(context, ended => FollowAsync(context.Response, set, index, lines, ended));
                return;
            }

            await Results.Text(Text(set.ReadLog(index, -lines, lines).Lines)).ExecuteAsync(context);
        });

    private async Task FollowAsync(HttpResponse response, IReplicaSet set, int index, int tail, CancellationToken ended)
    {
        response.ContentType = "text/plain; charset=utf-8";
        response.Headers.CacheControl = "no-store";
        response.Headers["X-Accel-Buffering"] = "no";
        await response.StartAsync(ended);
        var from = (long)-tail;
        while (index < set.Statuses.Length)
        {
            var page = set.ReadLog(index, from, MostLines);
            if (page.Missed > 0 && from > 0)
            {
                await response.WriteAsync($"[{page.Missed} lines came too fast to be kept]\n", ended);
            }

            if (!page.Lines.IsEmpty)
            {
                await response.WriteAsync(Text(page.Lines), ended);
            }

            from = page.Next;
            await Task.WhenAny(page.More, Task.Delay(LookAgain, time, ended));
            ended.ThrowIfCancellationRequested();
            await Task.Delay(Gather, time, ended);
        }
    }

    private static string Text(IEnumerable<string> lines)
    {
        var text = new StringBuilder();
        foreach (var line in lines)
        {
            text.Append(line).Append('\n');
        }

        return text.ToString();
    }
}
