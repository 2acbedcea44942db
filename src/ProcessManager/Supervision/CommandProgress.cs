using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>When a command has been carried out, so that whoever waits may go on. Pure.</summary>
internal static class CommandProgress
{
    /// <param name="verb">The command.</param>
    /// <param name="generation">The generation in which it was given.</param>
    /// <param name="replica">The replica now, the command's own transition included.</param>
    public static bool IsDone(ReplicaVerb verb, int generation, Replica replica) => verb switch
    {
        // Overtaken by a start or restart counts as done, else the caller would wait for something that nobody wants any more.
        ReplicaVerb.Stop => replica.State is ReplicaState.Stopped || replica.Afterwards is not Afterwards.Stop || replica.Generation > generation,
        ReplicaVerb.Drain => replica.State is not ReplicaState.Draining || replica.Drained,
        ReplicaVerb.Restart => IsAtRest(replica) && (replica.Generation > generation || replica.State is ReplicaState.Stopped or ReplicaState.Stuck),
        _ => IsAtRest(replica),
    };

    private static bool IsAtRest(Replica replica) => replica.State switch
    {
        ReplicaState.Draining => replica.Afterwards is Afterwards.Policy,
        ReplicaState.Ready or ReplicaState.Busy or ReplicaState.NotReady or ReplicaState.Stopped or ReplicaState.Backoff or ReplicaState.Failed
            or ReplicaState.Stuck => true,
        _ => false,
    };
}
