namespace LlmGateway.ProcessManager.Launching;

/// <summary>What grows while a process gets on.</summary>
internal readonly record struct ProgressSample(long CpuTicks, long ResidentPages, long ReadBytes, long LogLines);

/// <summary>When a process last made progress. A value: each sample makes the next one.</summary>
/// <remarks>
/// CPU counts only when it is more than the idling of a few threads: 1 % of the time since the last progress, and 50 ms at least.
/// Memory, storage and output count when they pass their highest mark.
/// </remarks>
internal readonly record struct StartupProgress(ProgressSample Highest, TimeSpan LastAt)
{
    public StartupProgress Add(ProgressSample sample, TimeSpan now)
    {
        var cpu = sample.CpuTicks - Highest.CpuTicks;
        var busy = cpu >= 5 && cpu >= (now - LastAt).TotalSeconds * ProcStat.TicksPerSecond / 100;
        var grew = sample.ResidentPages > Highest.ResidentPages || sample.ReadBytes > Highest.ReadBytes || sample.LogLines > Highest.LogLines;
        return busy || grew
            ? new(new(
                Math.Max(sample.CpuTicks, Highest.CpuTicks),
                Math.Max(sample.ResidentPages, Highest.ResidentPages),
                Math.Max(sample.ReadBytes, Highest.ReadBytes),
                Math.Max(sample.LogLines, Highest.LogLines)), now)
            : this;
    }
}
