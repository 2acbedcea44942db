using System.Globalization;

namespace LlmGateway.TestKit.Processes;

/// <summary>One process of this Linux machine for good: a pid alone is given out again.</summary>
/// <param name="Pid">Its process id.</param>
/// <param name="StartTime">When it was started, in the kernel's ticks since boot.</param>
public readonly record struct ProcessIdentity(int Pid, long StartTime)
{
    /// <summary>False when it has ended; also when only its parent has not asked for its exit code yet.</summary>
    public bool IsAlive => Read(Pid) is { State: not ('Z' or 'X') } stat && stat.StartTime == StartTime;

    /// <summary>The process that has this pid now, or null.</summary>
    public static ProcessIdentity? Of(int pid) => Read(pid) is { State: not ('Z' or 'X') } stat ? new(pid, stat.StartTime) : null;

    /// <summary>The living processes below one process: its children, their children, and so on.</summary>
    public static IReadOnlyList<ProcessIdentity> DescendantsOf(int pid)
    {
        var all = Directory.EnumerateDirectories("/proc")
            .Select(folder => int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : 0)
            .Where(id => id > 0)
            .Select(id => (Id: id, Stat: Read(id)))
            .Where(process => process.Stat is { State: not ('Z' or 'X') })
            .ToLookup(process => process.Stat!.Value.Parent, process => new ProcessIdentity(process.Id, process.Stat!.Value.StartTime));
        var found = new List<ProcessIdentity>(all[pid]);
        for (var i = 0; i < found.Count; i++)
        {
            found.AddRange(all[found[i].Pid]);
        }

        return found;
    }

    private static (char State, int Parent, long StartTime)? Read(int pid)
    {
        try
        {
            // The name, second and in parentheses, may hold anything: what follows its end is numbers.
            var stat = File.ReadAllText($"/proc/{pid}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (fields[0][0], int.Parse(fields[1], CultureInfo.InvariantCulture), long.Parse(fields[19], CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
