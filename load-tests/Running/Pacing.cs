using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LlmGateway.LoadTests.Running;

/// <summary>Waits on a thread of its own, to some 50 µs and without spinning: the machine is shared with what is measured.</summary>
internal static partial class Pacing
{
    private static readonly TimeSpan LongestNap = TimeSpan.FromMilliseconds(50);

    /// <summary>Sleeps until so long after the origin.</summary>
    /// <returns>False when cancelled before.</returns>
    public static bool SleepUntil(long origin, TimeSpan due, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            var left = due - Stopwatch.GetElapsedTime(origin);
            if (left <= TimeSpan.Zero)
            {
                return true;
            }

            var nap = left < LongestNap ? left : LongestNap;
            if (OperatingSystem.IsLinux() || OperatingSystem.IsMacOS())
            {
                _ = USleep((uint)Math.Max(1, nap.TotalMicroseconds));
            }
            else
            {
                cancellationToken.WaitHandle.WaitOne(nap);
            }
        }

        return false;
    }

    // Waits of the framework round to whole milliseconds, which is more than a gateway adds.
    [LibraryImport("libc", EntryPoint = "usleep")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int USleep(uint microseconds);
}
