using System.Globalization;
using LlmGateway.ProcessManager.Replicas;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>One line per change of state, made to be read at night: what, why, what next.</summary>
internal static class StateLog
{
    public static void Write(ILogger logger, Replica before, Replica after, ReplicaStatus status, in Circumstances now)
    {
        if (before.State == after.State && before.Generation == after.Generation)
        {
            return;
        }

        if (after.LastExit is { } exit && !ReferenceEquals(exit, before.LastExit) && exit.Cause is not ExitCause.Requested)
        {
            var how = exit switch { { Signal: { } signal } => $"signal {signal}", { Code: { } code } => $"exit code {code}", _ => "not launched" };
            if (after.State is ReplicaState.Failed)
            {
                Log.Failed(logger, status.Backend, Names.Of(exit.Cause), how, exit.Advice, Next(after, status, now));
            }
            else
            {
                Log.Ended(logger, status.Backend, Names.Of(exit.Cause), how, exit.Advice, Next(after, status, now));
            }

            return;
        }

        switch (after.State)
        {
            case ReplicaState.Stuck:
                Log.Stuck(logger, status.Backend, status.Pid);
                break;
            case ReplicaState.NotReady:
                Log.NotReady(logger, status.Backend, status.NotRoutableBecause);
                break;
            default:
                Log.StateChanged(logger, status.Backend, Names.Of(before.State), Names.Of(after.State), after.Generation, Detail(after, status, now));
                break;
        }
    }

    private static string Next(Replica after, ReplicaStatus status, in Circumstances now)
    {
        var budget = $"{status.RestartsInWindow} of {now.Options.Restart.MaxRestarts} restarts used in {now.Options.Restart.Window.TotalMinutes:0.#} min";
        return after switch
        {
            { NextTryAt: { } at } => $"Next try in {(at - now.WallNow).TotalSeconds:0.0} s; {budget}.",
            { State: ReplicaState.Queued } => "Next try at once.",
            { State: ReplicaState.Failed, AwaitsChange: true } => "Next try when its program, its model or its configuration changes, or when somebody starts it.",
            { State: ReplicaState.Failed } => $"No further try until somebody starts or resets it; {budget}.",
            _ => "It stays down.",
        };
    }

    private static string Detail(Replica after, ReplicaStatus status, in Circumstances now) => after.State switch
    {
        ReplicaState.Ready when status is { StartedAt: { } started } => string.Create(
            CultureInfo.InvariantCulture,
            $": pid {status.Pid}, {status.Address}, {status.Slots} slots, {(now.WallNow - started).TotalSeconds:0.0} s after its launch"),
        ReplicaState.Killing or ReplicaState.Draining or ReplicaState.Busy => $": {status.NotRoutableBecause}",
        _ => string.Empty,
    };
}
