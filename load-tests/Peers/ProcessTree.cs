using System.Globalization;

namespace LlmGateway.LoadTests.Peers;

/// <summary>CPU time and memory of a process and all that it started, by <c>/proc</c>.</summary>
internal static class ProcessTree
{
    private const int TicksPerSecond = 100; // USER_HZ, 100 on every Linux that .NET runs on

    /// <summary>User and system time of all living members, and of those that have ended and were waited for.</summary>
    public static TimeSpan CpuTime(int root) =>
        TimeSpan.FromSeconds(Members(root).Sum(static member => member.Ticks) / (double)TicksPerSecond);

    /// <summary>Proportional set size of all members, in bytes: shared pages are counted once.</summary>
    public static long Pss(int root) => Members(root).Sum(static member => Pss(Path.Combine("/proc", Text(member.Pid), "smaps_rollup"), "Pss:"));

    private static List<Member> Members(int root)
    {
        var all = Directory.EnumerateDirectories("/proc")
            .Where(static folder => int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out _))
            .Select(static folder => ReadOrNull(Path.Combine(folder, "stat")))
            .OfType<string>()
            .Select(Member.Parse)
            .ToList();
        var children = all.ToLookup(static member => member.Parent);
        var members = all.Where(member => member.Pid == root).ToList();
        for (var i = 0; i < members.Count; i++)
        {
            members.AddRange(children[members[i].Pid]);
        }

        return members;
    }

    private static long Pss(string file, string name) =>
        ReadOrNull(file)?.Split('\n').FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal)) is { } line
            ? long.Parse(line[name.Length..].Replace("kB", "", StringComparison.Ordinal), NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture) * 1024
            : 0;

    // A process may end while its folder is read.
    private static string? ReadOrNull(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>A line of <c>/proc/PID/stat</c>.</summary>
    internal readonly record struct Member(int Pid, int Parent, long Ticks)
    {
        public static Member Parse(string stat)
        {
            // The name stands in parentheses and may hold anything, parentheses too.
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return new Member(
                int.Parse(stat.AsSpan(0, stat.IndexOf(' ', StringComparison.Ordinal)), NumberStyles.None, CultureInfo.InvariantCulture),
                int.Parse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture),
                Enumerable.Range(11, 4).Sum(i => long.Parse(fields[i], NumberStyles.None, CultureInfo.InvariantCulture)));
        }
    }
}
