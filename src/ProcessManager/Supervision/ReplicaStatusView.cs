using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What the outside sees of a <see cref="Replica"/>. Pure.</summary>
internal static class ReplicaStatusView
{
    public static ReplicaStatus Of(ReplicaSetOptions options, int index, Replica replica, TimeSpan now) => new()
    {
        Model = options.Model,
        Index = index,
        Generation = replica.Generation,
        State = replica.State,
        Pid = replica.Phase is ProcessPhase.Alive or ProcessPhase.Dead ? replica.Process?.Pid : null,
        Address = replica.Process?.Address,
        ApiKey = replica.Process?.ApiKey,
        StartedAt = replica.Process?.StartedAt,
        Slots = replica.Slots,
        LeakedSlots = Math.Min(replica.LeakedSlots, replica.Slots),
        RestartsInWindow = replica.History.CountIn(options.Restart.Window, now),
        Restarts = replica.Restarts,
        IsRestarting = replica is { Afterwards: Afterwards.Restart, State: ReplicaState.Draining or ReplicaState.Stopping or ReplicaState.Killing },
        LastExit = replica.LastExit,
        NextTryAt = replica.NextTryAt,
        NotRoutableBecause = WhyNot(replica),
        Probes = new(
            replica.StartupPassed ? "passing" : "unknown",
            replica.ReadinessPasses switch { true => "passing", false => "failing", null => "unknown" },
            replica.Liveness switch { null => "unknown", LivenessHealth.Alive or LivenessHealth.Busy => "passing", _ => "failing" }),
    };

    private static string? WhyNot(Replica replica) => replica.State switch
    {
        ReplicaState.Ready => null,
        ReplicaState.Stopped when replica.LastExit is { Cause: not ExitCause.Requested } exit => exit.Advice,
        ReplicaState.Stopped => "It is stopped.",
        ReplicaState.Queued => "It waits for its turn to start.",
        ReplicaState.Starting => "Its process starts.",
        ReplicaState.Loading => "It loads its model.",
        ReplicaState.Warming => "It has loaded; its slots are being read.",
        ReplicaState.Busy => replica.Liveness is LivenessHealth.Busy ? replica.LivenessFinding : "It is busy and does not answer in time.",
        ReplicaState.NotReady when replica.Liveness is LivenessHealth.Stopped => replica.LivenessFinding,
        ReplicaState.NotReady when replica.Liveness is LivenessHealth.Hung => $"{replica.LivenessFinding} It is replaced when its pool can spare it.",
        ReplicaState.NotReady => $"Its readiness probe fails: {replica.ReadinessFinding}.",
        ReplicaState.Draining => replica.Afterwards switch
        {
            Afterwards.Stop => "It drains before it stops.",
            Afterwards.Restart => "It drains before it restarts.",
            _ => "It is drained by an operator; resume it to give it work.",
        },
        ReplicaState.Stopping => "It stops.",
        ReplicaState.Killing when replica is { Phase: ProcessPhase.Dead, Signalled: false } => "Its process has ended.",
        ReplicaState.Killing => replica.KilledBecause ?? "It is made to end.",
        ReplicaState.Stuck => "Its process does not end even after SIGKILL (a hung driver or disk); no other is started in its place.",
        ReplicaState.Backoff when replica.LastExit is { Code: null, Signal: null } unborn => $"It could not be started: {unborn.Advice}",
        ReplicaState.Backoff => $"Its process ended: {replica.LastExit?.Advice}",
        ReplicaState.Failed when replica.AwaitsChange =>
            $"It failed and is tried again when its program, its model or its configuration changes: {replica.LastExit?.Advice}",
        ReplicaState.Failed when replica.NextTryAt is null => $"It failed and waits for a person: {replica.LastExit?.Advice}",
        ReplicaState.Failed => $"It failed too often and is now tried every {RestartPolicy.SlowRetryDelay.TotalMinutes:0} minutes: {replica.LastExit?.Advice}",
        _ => replica.State.ToString(),
    };
}
