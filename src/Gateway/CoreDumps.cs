using System.Runtime.InteropServices;

namespace LlmGateway.Gateway;

/// <summary>No image of this process's memory is ever written to a disk: it holds prompts, answers and keys.</summary>
/// <remarks>A dump that the runtime's own tools are asked for is not concerned.</remarks>
internal static class CoreDumps
{
    // The same on Linux and macOS.
    private const int LimitOfCore = 4;

    public static void Forbid()
    {
        if (!OperatingSystem.IsWindows())
        {
            // What fails here fails for a system that has no such limit, and so no dumps by it.
            _ = SetLimit(LimitOfCore, default);
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
