namespace LlmGateway.ProcessManager.Launching;

/// <summary>One look at a living process.</summary>
/// <param name="IsStopped">A signal has stopped it (SIGSTOP).</param>
/// <param name="IsWholeGroup">The numbers are sums over its group.</param>
/// <param name="CpuTicks">CPU time used so far; null where the system does not tell.</param>
/// <param name="ReadBytes">Bytes read from storage so far.</param>
internal readonly record struct ProcessLook(bool IsStopped, bool IsWholeGroup, long? CpuTicks, long ReadBytes)
{
    /// <summary>A GPU works for it, as far as that is known.</summary>
    public bool IsOnGpu { get; init; }
}
