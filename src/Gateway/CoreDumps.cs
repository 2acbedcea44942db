using System.Runtime.InteropServices;

namespace LlmGateway.Gateway;

/// <summary>The system writes no image of this process's memory to a disk: it holds prompts, answers and keys.</summary>
/// <remarks>The processes that it starts inherit that. A dump that the runtime's own tools are asked for is not concerned.</remarks>
internal static class CoreDumps
{
    // The same on Linux and macOS.
    private const int LimitOfCore = 4;

    public static void Forbid()
    {
        if (!OperatingSystem.IsWindows())
        {
            // One byte is too little for a file, and on Linux tells the kernel not to call a program for dumps either, which 0 does not.
            nuint most = OperatingSystem.IsLinux() ? 1u : 0u;
            _ = SetLimit(LimitOfCore, new Limit { Soft = most, Hard = most });
        }
    }

    [DllImport("libc", EntryPoint = "setrlimit")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static extern int SetLimit(int resource, in Limit limit);

    [StructLayout(LayoutKind.Sequential)]
    private struct Limit
    {
        public nuint Soft;
        public nuint Hard;
    }
}
