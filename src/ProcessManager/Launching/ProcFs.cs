using System.Collections.Immutable;
using System.Globalization;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>What Linux tells about processes. Everything here may vanish while it is read; what has vanished is left out.</summary>
internal static class ProcFs
{
    private static readonly string[] GpuDevices = ["/dev/nvidia", "/dev/dri/render", "/dev/kfd", "/dev/dxg"];

    /// <summary>The living members of a process group.</summary>
    public static ImmutableArray<ProcStat> Group(int group)
    {
        var members = ImmutableArray.CreateBuilder<ProcStat>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (char.IsAsciiDigit(folder[^1]) && Stat(folder) is { IsDead: false } stat && stat.Group == group)
            {
                members.Add(stat);
            }
        }

        return members.ToImmutable();
    }

    /// <summary>One process, or null when it has vanished.</summary>
    public static ProcStat? Process(int pid) => Stat($"/proc/{pid}");

    /// <summary>Bytes that a process has read from storage; 0 when we may not know.</summary>
    public static long ReadBytes(int pid)
    {
        foreach (var line in Text($"/proc/{pid}/io").AsSpan().EnumerateLines())
        {
            if (line.StartsWith("read_bytes:") && long.TryParse(line["read_bytes:".Length..], CultureInfo.InvariantCulture, out var bytes))
            {
                return bytes;
            }
        }

        return 0;
    }

    /// <summary>How often the kernel has ended a process for memory: in our own cgroup where that is told, else on the machine.</summary>
    public static long OomKills()
    {
        foreach (var (path, name) in new[] { ("/sys/fs/cgroup/memory.events", "oom_kill "), ("/proc/vmstat", "oom_kill ") })
        {
            foreach (var line in Text(path).AsSpan().EnumerateLines())
            {
                if (line.StartsWith(name) && long.TryParse(line[name.Length..], CultureInfo.InvariantCulture, out var kills))
                {
                    return kills;
                }
            }
        }

        return 0;
    }

    /// <summary>Inodes of the sockets that a process holds; null when we may not look.</summary>
    public static IReadOnlySet<long>? SocketInodes(int pid)
    {
        var inodes = new HashSet<long>();
        try
        {
            foreach (var descriptor in new DirectoryInfo($"/proc/{pid}/fd").EnumerateFileSystemInfos())
            {
                if (descriptor.LinkTarget is ['s', 'o', 'c', 'k', 'e', 't', ':', '[', .. var inode, ']']
                    && long.TryParse(inode, CultureInfo.InvariantCulture, out var number))
                {
                    inodes.Add(number);
                }
            }
        }
        catch (UnauthorizedAccessException)
        {
            return null;
        }
        catch (IOException)
        {
            // It has just ended.
        }

        return inodes;
    }

    /// <summary>Whether a process has a GPU open: one that has not can't use it.</summary>
    public static bool HoldsGpu(int pid)
    {
        try
        {
            return new DirectoryInfo($"/proc/{pid}/fd").EnumerateFileSystemInfos().Any(descriptor =>
                descriptor.LinkTarget is { } target && GpuDevices.Any(device => target.StartsWith(device, StringComparison.Ordinal)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // ended, or somebody else's
        }
    }

    public static string Text(string path)
    {
        try
        {
            // Not every kernel has every file, and an exception for each look would drown those that mean something.
            return File.Exists(path) ? File.ReadAllText(path) : string.Empty;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return string.Empty;
        }
    }

    private static ProcStat? Stat(string folder) => ProcStat.Parse(Text(folder + "/stat"));
}
