using System.Runtime.InteropServices;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Hosting;

/// <summary>Ends the process at once, as a crash does: nothing is flushed, nothing is finished.</summary>
internal static partial class ProcessExit
{
    /// <summary>The end that the faults ask for.</summary>
    public static void ByFault(Faults faults)
    {
        if (faults.ExitSignal is { } name)
        {
            BySignal(NumberOf(name));
        }

        Now(faults.ExitCode);
    }

    /// <summary>Dies by a signal with its default action, whatever the runtime has installed for it.</summary>
    public static void BySignal(int signal)
    {
        _ = SetHandler(signal, 0);
        _ = Kill(Environment.ProcessId, signal);

        // Another thread may take the signal: nothing more is to happen on this one.
        Thread.CurrentThread.Join();
    }

    public static void Now(int code) => Exit(code);

    private static int NumberOf(string signal) => signal.ToUpperInvariant().Replace("SIG", "", StringComparison.Ordinal) switch
    {
        "HUP" => 1,
        "INT" => 2,
        "ILL" => 4,
        "ABRT" => 6,
        "BUS" => 7,
        "FPE" => 8,
        "KILL" => 9,
        "SEGV" => 11,
        "TERM" => 15,
        var number => int.TryParse(number, out var value) ? value : 6,
    };

    [LibraryImport("libc", EntryPoint = "_exit")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial void Exit(int code);

    [LibraryImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int process, int signal);

    [LibraryImport("libc", EntryPoint = "signal")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial nint SetHandler(int signal, nint handler);
}
