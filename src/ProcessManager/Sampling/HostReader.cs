using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>Reads memory and pressure of a Linux machine and of our own cgroup, version 2. Elsewhere only the memory that .NET knows of.</summary>
/// <param name="proc">Where <c>/proc</c> is; tests put a folder there.</param>
/// <param name="cgroups">Where the hierarchy of version 2 is mounted.</param>
internal sealed class HostReader(string proc = "/proc", string cgroups = "/sys/fs/cgroup")
{
    public HostSample Read()
    {
        var memory = ProcFs.Text(proc + "/meminfo");
        var total = ProcText.Number(memory, "MemTotal:") * 1024 ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var available = ProcText.Number(memory, "MemAvailable:") * 1024;
        var group = Cgroup();
        return new HostSample
        {
            MemoryTotalBytes = group.Limit is { } limit ? Math.Min(total, limit) : total,
            MemoryAvailableBytes = group is { Limit: { } most, Used: { } used } ? Math.Min(available ?? long.MaxValue, Math.Max(0, most - used)) : available,
            Memory = ProcText.Pressure(ProcFs.Text(proc + "/pressure/memory")),
            Cpu = ProcText.Pressure(ProcFs.Text(proc + "/pressure/cpu")),
            Io = ProcText.Pressure(ProcFs.Text(proc + "/pressure/io")),
            CgroupLimitBytes = group.Limit,
            CgroupUsedBytes = group.Used,
            CgroupOomKills = group.OomKills,
        };
    }

    /// <summary>The tightest limit from our own cgroup up to the root, and what is used where it holds.</summary>
    private (long? Limit, long? Used, long? OomKills) Cgroup()
    {
        if (ProcText.CgroupPath(ProcFs.Text(proc + "/self/cgroup")) is not { } path)
        {
            return default;
        }

        // A container's own cgroup namespace shows it as the root, and mounts it as such.
        var own = Path.Combine(cgroups, path);
        var kills = ProcText.Number(ProcFs.Text(own + "/memory.events"), "oom_kill ");
        (long? Limit, long? Used) tightest = default;
        for (var folder = own; folder.Length >= cgroups.Length; folder = Path.GetDirectoryName(folder) ?? string.Empty)
        {
            if (ProcText.Number(ProcFs.Text(folder + "/memory.max")) is { } limit && !(tightest.Limit <= limit))
            {
                tightest = (limit, ProcText.Number(ProcFs.Text(folder + "/memory.current")));
            }
        }

        return (tightest.Limit, tightest.Used, kills);
    }
}
