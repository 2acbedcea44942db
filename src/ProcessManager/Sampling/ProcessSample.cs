namespace LlmGateway.ProcessManager.Sampling;

/// <summary>What one replica's processes use: the one we launched and what it started, added up.</summary>
public sealed record ProcessSample
{
    /// <summary>The replica's name: <c>model/index</c>.</summary>
    public required string Backend { get; init; }

    /// <summary>Which start of the replica this is about.</summary>
    public required int Generation { get; init; }

    /// <summary>The process that we launched.</summary>
    public required int Pid { get; init; }

    /// <summary>When it was looked at.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>CPU time used since the launch. Never falls.</summary>
    public required TimeSpan CpuTime { get; init; }

    /// <summary>CPU used since the sample before, 100 being one core; null in the first sample.</summary>
    public double? CpuPercent { get; init; }

    /// <summary>Resident memory, in bytes. Counts mapped weights, which several replicas of one model share.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>The part of it that belongs to nobody else (KV cache, compute buffers), in bytes; null where the system does not tell.</summary>
    public long? AnonymousBytes { get; init; }

    /// <summary>The part of it that is mapped from files (weights), in bytes; null where the system does not tell.</summary>
    public long? FileBytes { get; init; }

    /// <summary>Bytes read from storage since the launch; null where the system does not tell.</summary>
    public long? ReadBytes { get; init; }

    /// <summary>Open file descriptors; null where the system does not tell.</summary>
    public int? OpenFiles { get; init; }

    /// <summary>Living processes that are added up here.</summary>
    public int Processes { get; init; } = 1;

    /// <summary>True when the launched process is stopped (SIGSTOP, or a debugger holds it): it can do nothing.</summary>
    public bool IsStopped { get; init; }
}
