using System.Collections.Immutable;
using System.Globalization;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Divides the cores that we may use among replicas, each getting neighbours of its own. The division is pure.</summary>
internal static class CoreShare
{
    /// <summary>Becomes the program that it is told, on the cores that it is told: util-linux has it.</summary>
    public const string Program = "taskset";

    private const string Topology = "/sys/devices/system/cpu";

    /// <summary>The cores that this process may run on; threads of one physical core side by side, and cores of one package. Empty where the system does not tell.</summary>
    public static ImmutableArray<int> Allowed() => Allowed(ProcFs.Text("/proc/self/status"), Topology);

    /// <summary>The same from texts.</summary>
    /// <param name="status">What <c>/proc/self/status</c> says.</param>
    /// <param name="topology">The folder with a folder for each core.</param>
    internal static ImmutableArray<int> Allowed(string status, string topology)
    {
        const string Key = "Cpus_allowed_list:";
        var line = status.Split('\n').FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal));
        return line is null ? [] : [.. Parse(line[Key.Length..].Trim()).OrderBy(core => Place(core, "physical_package_id")).ThenBy(core => Place(core, "core_id")).ThenBy(core => core)];

        int Place(int core, string what) =>
            int.TryParse(ProcFs.Text(Path.Combine(topology, $"cpu{core.ToString(CultureInfo.InvariantCulture)}", "topology", what)), CultureInfo.InvariantCulture, out var place) ? place : 0;
    }

    /// <summary>The cores of one of several replicas, as <c>taskset -c</c> takes them. With fewer cores than replicas, some share one.</summary>
    /// <param name="cores">All of them, at least one.</param>
    /// <param name="place">Which replica, from 0.</param>
    /// <param name="places">Of how many, at least one.</param>
    public static string Of(ImmutableArray<int> cores, int place, int places)
    {
        var at = place % places;
        var from = (int)((long)at * cores.Length / places);
        var to = Math.Max(from + 1, (int)((at + 1L) * cores.Length / places));
        return string.Join(',', cores[from..to].Order().Select(core => core.ToString(CultureInfo.InvariantCulture)));
    }

    /// <summary>Reads a list such as <c>0-3,8</c>.</summary>
    private static IEnumerable<int> Parse(string list)
    {
        foreach (var part in list.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var ends = part.Split('-');
            if (int.TryParse(ends[0], CultureInfo.InvariantCulture, out var first) && int.TryParse(ends[^1], CultureInfo.InvariantCulture, out var last))
            {
                for (var core = first; core <= last; core++)
                {
                    yield return core;
                }
            }
        }
    }
}
