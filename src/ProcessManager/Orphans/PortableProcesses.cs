using System.ComponentModel;
using System.Diagnostics;

namespace LlmGateway.ProcessManager.Orphans;

/// <summary>macOS and Windows: number and time of start name a process, since that time is the wall clock's and differs after a boot.</summary>
internal sealed class PortableProcesses : ISystemProcesses
{
    public string BootId => string.Empty;

    public long? StartedAt(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return process.HasExited ? null : process.StartTime.ToUniversalTime().Ticks;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or Win32Exception or NotSupportedException)
        {
            return null;
        }
    }

    public byte[]? CommandLine(int pid) => null;

    public IEnumerable<int> WithEnvironment(string entry) => [];

    public void Kill(int pid, long startedAt)
    {
        try
        {
            // The handle is taken first: on Windows it keeps the number from being given out again.
            using var process = Process.GetProcessById(pid);
            if (process.StartTime.ToUniversalTime().Ticks == startedAt)
            {
                process.Kill(entireProcessTree: true);
            }
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or Win32Exception or NotSupportedException or AggregateException)
        {
            // It has ended.
        }
    }
}
