using System.Runtime.InteropServices;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Unix signals, by number. Only <see cref="ChildProcess"/> sends them, and only to what it owns.</summary>
internal static partial class Signals
{
    public const int Kill = 9;
    public const int Terminate = 15;
    public static readonly int Continue = OperatingSystem.IsMacOS() ? 19 : 18;

    /// <summary>True when the signal reached somebody.</summary>
    public static bool ToGroup(int group, int signal) => Send(-group, signal) == 0;

    /// <inheritdoc cref="ToGroup"/>
    public static bool ToProcess(int pid, int signal) => Send(pid, signal) == 0;

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Send(int pid, int signal);
}
