using System.Collections.Immutable;
using System.ComponentModel;
using System.Diagnostics;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>What .NET tells about processes on every system: CPU time and resident memory of the launched process alone.</summary>
/// <remarks>Nothing on macOS: there the launched process is a shell in between, and its numbers would be a lie.</remarks>
internal sealed class PortableProcessReader : IProcessReader
{
    public IReadOnlyDictionary<int, ImmutableArray<int>> Members(IReadOnlySet<int> groups) =>
        groups.ToDictionary(group => group, group => ImmutableArray.Create(group));

    public ProcessReading? Read(int pid)
    {
        if (OperatingSystem.IsMacOS())
        {
            return null;
        }

        try
        {
            using var process = Process.GetProcessById(pid);
            return new(pid, process.StartTime.Ticks, false, process.TotalProcessorTime, process.WorkingSet64, null, null, null, null);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or Win32Exception or NotSupportedException)
        {
            return null; // it has ended, or is not ours to look at
        }
    }
}
