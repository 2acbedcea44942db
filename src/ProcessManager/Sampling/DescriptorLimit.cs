using System.Runtime.InteropServices;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>How many files this process may have open.</summary>
public static partial class DescriptorLimit
{
    // RLIMIT_NOFILE.
    private const int Linux = 7;
    private const int MacOS = 8;

    /// <summary>The limit as it is now, since it may be changed from outside (<c>prlimit</c>). Null: there is none, or the system does not tell. Takes no descriptor.</summary>
    public static long? Current =>
        !OperatingSystem.IsWindows() && GetResourceLimit(OperatingSystem.IsMacOS() ? MacOS : Linux, out var limit) == 0 && limit.Current <= long.MaxValue ? (long)limit.Current : null;

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int GetResourceLimit(int resource, out ResourceLimit limit);

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct ResourceLimit
    {
        public readonly ulong Current;
        public readonly ulong Highest;
    }
}
