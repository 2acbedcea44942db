using System.Collections.Concurrent;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Operations.Login;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Operations;

/// <summary>What operators order of replicas: one of them, or all of a model one after another.</summary>
internal sealed class ReplicaCommands(BackendSources sources, EventFeed feed, TimeProvider time, ILogger<ReplicaCommands> logger)
{
    /// <summary>How long a restarted replica that has come up may take to pass its readiness probe, before the next one's turn.</summary>
    private static readonly TimeSpan ReadyWithin = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, bool> _rolling = [];

    public void Map(IEndpointRouteBuilder endpoints)
    {
        foreach (var verb in Enum.GetValues<ReplicaVerb>())
        {
            // Each by its own path, so that whatever else stands there is unknown, and not a method that is not taken.
            var word = verb.ToString().ToLowerInvariant();
            endpoints.MapPost($"/api/replicas/{{model}}/{{index:int}}/{word}", (HttpContext context, string model, int index, bool? wait) => OneAsync(context, model, index, verb, word, wait));
        }

        endpoints.MapPost("/api/models/{model}/restart", RollAsync);
    }

    private async Task<IResult> OneAsync(HttpContext context, string model, int index, ReplicaVerb verb, string word, bool? wait)
    {
        if (sources.Replicas(Uri.UnescapeDataString(model)) is not { } set || index < 0 || index >= set.Statuses.Length)
        {
            return UnknownReplica();
        }

        Tell($"{set.Model}/{index}", $"{word} of {set.Model}/{index} was ordered by {context.Features.Get<Operator>()}.");
        return await CarryOutAsync(context, wait, $"{word} {set.Model}/{index}", async cancellationToken =>
        {
            await set.CommandAsync(index, verb, cancellationToken);
            return Results.Json(new { backend = $"{set.Model}/{index}", state = Names.Of(set.Statuses[index].State), set.Statuses[index].NotRoutableBecause }, StatusReport.Json);
        });
    }

    private async Task<IResult> RollAsync(HttpContext context, string model, bool? wait)
    {
        var name = Uri.UnescapeDataString(model);
        if (sources.Replicas(name) is not { } set)
        {
            return Error(404, "unknown_model", "The configuration names no such model with processes of its own; /api/status lists them.");
        }

        if (!_rolling.TryAdd(name, true))
        {
            return Error(409, "already_restarting", $"The replicas of {name} are being restarted one after another already.");
        }

        Tell(name, $"A restart of {name}, one replica after another, was ordered by {context.Features.Get<Operator>()}.");
        return await CarryOutAsync(context, wait, $"restart {name}", async _ =>
        {
            try
            {
                // A client that stops waiting does not stop what it has ordered halfway.
                return await RestartAllAsync(set, CancellationToken.None);
            }
            finally
            {
                _rolling.TryRemove(name, out var _);
            }
        });
    }

    /// <summary>Those that take no work first, for that costs nothing; each next one only when the last one takes work again.</summary>
    private async Task<IResult> RestartAllAsync(IReplicaSet set, CancellationToken cancellationToken)
    {
        var order = set.Statuses.Where(status => status.State is not ReplicaState.Stopped).OrderBy(status => status.IsRoutable).Select(status => status.Index).ToArray();
        foreach (var index in order)
        {
            await set.CommandAsync(index, ReplicaVerb.Restart, cancellationToken);
            if (!await IsReadyAsync(set, index, cancellationToken))
            {
                var status = set.Statuses[index];
                var message = $"{status.Backend} did not come back ({status.NotRoutableBecause}) The other replicas are left as they are.";
                Tell(set.Model, $"The restart of {set.Model} was given up: {message}", EventLevel.Error);
                return Error(409, "restart_incomplete", message);
            }
        }

        Tell(set.Model, $"All {order.Length} running replicas of {set.Model} were restarted.");
        return Results.Json(new { model = set.Model, restarted = order.Length }, StatusReport.Json);
    }

    private async Task<bool> IsReadyAsync(IReplicaSet set, int index, CancellationToken cancellationToken)
    {
        var changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void Look(ReplicaStatus status)
        {
            if (status.Index == index && status.IsRoutable)
            {
                changed.TrySetResult();
            }
        }

        set.StatusChanged += Look;
        try
        {
            Look(set.Statuses[index]);
            if (set.Statuses[index].State is ReplicaState.Failed or ReplicaState.Stuck or ReplicaState.Stopped or ReplicaState.Backoff)
            {
                return false;
            }

            await changed.Task.WaitAsync(ReadyWithin, time, cancellationToken);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
        finally
        {
            set.StatusChanged -= Look;
        }
    }

    /// <summary>Answers 202 at once, or waits and answers with how it went.</summary>
    private async Task<IResult> CarryOutAsync(HttpContext context, bool? wait, string what, Func<CancellationToken, Task<IResult>> command)
    {
        var done = command(wait == true ? context.RequestAborted : CancellationToken.None);
        if (wait != true)
        {
            _ = done.ContinueWith(
                task => Log.CommandFailed(logger, what, task.Exception!.GetBaseException().Message),
                CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
            return Results.StatusCode(StatusCodes.Status202Accepted);
        }

        try
        {
            return await done;
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentOutOfRangeException)
        {
            Log.CommandFailed(logger, what, e.Message);
            return Error(409, "not_now", e.Message);
        }
    }

    private void Tell(string subject, string message, EventLevel level = EventLevel.Info) => feed.Publish(EventKind.Command, subject, message, level);

    public static ApiErrorResult UnknownReplica() => Error(404, "unknown_replica", "The configuration names no such replica; /api/status lists them.");

    private static ApiErrorResult Error(int status, string code, string message) => new(new ApiError(status, code, message));
}
