using System.Diagnostics;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>A span for each start of a process, from its launch to the first work that it takes, or to its end before that.</summary>
internal static class ReplicaTraces
{
    private static readonly ActivitySource Source = new("LlmGateway.ProcessManager");

    public static void Observe(string backend, Replica before, Replica after, DateTimeOffset now)
    {
        if (!Source.HasListeners() || before.Process is not { } process || !IsStarting(before.State) || IsStarting(after.State))
        {
            return;
        }

        // Nobody's child: the supervisor's loop runs on behalf of no request.
        var isUp = after.State is ReplicaState.Ready or ReplicaState.Draining;
        Activity.Current = null;
        using var span = Source.StartActivity("process.start", ActivityKind.Internal, parentContext: default, startTime: process.StartedAt);
        span?.SetTag("llmgateway.backend", backend)
            .SetTag("process.pid", process.Pid)
            .SetTag("llmgateway.generation", before.Generation)
            .SetTag("llmgateway.state", Names.Of(after.State))
            .SetStatus(isUp ? ActivityStatusCode.Ok : ActivityStatusCode.Error)
            .SetEndTime(now.UtcDateTime);
        if (!isUp)
        {
            span?.SetTag("error.type", after.LastExit is { } exit && !ReferenceEquals(exit, before.LastExit) ? Names.Of(exit.Cause) : Names.Of(after.State));
        }
    }

    private static bool IsStarting(ReplicaState state) => state is ReplicaState.Starting or ReplicaState.Loading or ReplicaState.Warming;
}
