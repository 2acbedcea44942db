using System.Collections.Immutable;
using System.Globalization;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>Reads <c>/proc/PID/{stat,status,io,fd}</c>.</summary>
/// <param name="proc">Where the file system is; tests put a folder there.</param>
internal sealed class LinuxProcessReader(string proc = "/proc") : IProcessReader
{
    public IReadOnlyDictionary<int, ImmutableArray<int>> Members(IReadOnlySet<int> groups)
    {
        var members = new Dictionary<int, ImmutableArray<int>>();
        foreach (var folder in Directory.EnumerateDirectories(proc))
        {
            if (char.IsAsciiDigit(folder[^1])
                && ProcStat.Parse(ProcFs.Text(folder + "/stat")) is { IsDead: false } stat
                && groups.Contains(stat.Group))
            {
                members[stat.Group] = members.TryGetValue(stat.Group, out var others) ? others.Add(stat.Pid) : [stat.Pid];
            }
        }

        return members;
    }

    public ProcessReading? Read(int pid)
    {
        var folder = Path.Combine(proc, pid.ToString(CultureInfo.InvariantCulture));
        if (ProcStat.Parse(ProcFs.Text(folder + "/stat")) is not { IsDead: false } stat)
        {
            return null;
        }

        var status = ProcFs.Text(folder + "/status");
        return new(
            pid,
            stat.StartTicks,
            stat.State is 'T' or 't',
            TimeSpan.FromSeconds((double)stat.CpuTicks / ProcStat.TicksPerSecond),
            Kibibytes(status, "VmRSS:") ?? stat.ResidentPages * Environment.SystemPageSize,
            Kibibytes(status, "RssAnon:"),
            Kibibytes(status, "RssFile:"),
            ProcText.Number(ProcFs.Text(folder + "/io"), "read_bytes:"),
            OpenFiles(folder + "/fd"));
    }

    private static long? Kibibytes(string status, string name) => ProcText.Number(status, name) * 1024;

    private static int? OpenFiles(string folder)
    {
        try
        {
            return Directory.EnumerateFileSystemEntries(folder).Count();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
