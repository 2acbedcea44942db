namespace LlmGateway.ProcessManager.Replicas;

/// <summary>What an operator may ask of one replica.</summary>
public enum ReplicaVerb
{
    /// <summary>Drain, end, start again; costs no restart budget.</summary>
    Restart,

    /// <summary>No new work; what runs may finish; the process stays. Holds over a crash, until <see cref="Resume"/>, <see cref="Restart"/> or <see cref="Start"/>.</summary>
    Drain,

    /// <summary>Undo <see cref="Drain"/>.</summary>
    Resume,

    /// <summary>Drain, end, stay down.</summary>
    Stop,

    /// <summary>Start a stopped or failed one.</summary>
    Start,

    /// <summary>Forget failures: restart budget and backoff begin anew, and a failed one starts.</summary>
    Reset,
}
