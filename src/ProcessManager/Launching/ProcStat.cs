using System.Globalization;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>One line of <c>/proc/PID/stat</c>.</summary>
internal readonly record struct ProcStat(int Pid, char State, int Group, long CpuTicks, long StartTicks, long ResidentPages)
{
    /// <summary>Clock ticks per second of every Linux that .NET runs on.</summary>
    public const int TicksPerSecond = 100;

    /// <summary>Ended, and only waits for its parent to notice.</summary>
    public bool IsDead => State is 'Z' or 'X';

    /// <summary>Stopped by a signal; a debugger's stop is something else ('t').</summary>
    public bool IsStopped => State is 'T';

    public static ProcStat? Parse(string line)
    {
        // The program's name stands in parentheses and may itself hold spaces and parentheses.
        var open = line.IndexOf('(', StringComparison.Ordinal);
        var close = line.LastIndexOf(')');
        if (open < 1 || close < open || !int.TryParse(line.AsSpan(0, open).Trim(), CultureInfo.InvariantCulture, out var pid))
        {
            return null;
        }

        var fields = line[(close + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries); // fields[0] is number 3 of the manual
        if (fields.Length < 22)
        {
            return null;
        }

        return int.TryParse(fields[2], CultureInfo.InvariantCulture, out var group)
            && long.TryParse(fields[11], CultureInfo.InvariantCulture, out var user)
            && long.TryParse(fields[12], CultureInfo.InvariantCulture, out var system)
            && long.TryParse(fields[19], CultureInfo.InvariantCulture, out var start)
            && long.TryParse(fields[21], CultureInfo.InvariantCulture, out var resident)
            ? new(pid, fields[0][0], group, user + system, start, resident)
            : null;
    }
}
