using System.Runtime.InteropServices;

namespace LlmGateway.TestKit.Processes;

/// <summary>Holds the main thread of a process by ptrace, as a debugger would: its other threads run on, so it still answers what they answer.</summary>
/// <remarks>The kernel ties the hold to the thread that took it, hence one of its own. The hold ends when the process is killed, or on dispose.</remarks>
public sealed partial class HeldThread : IDisposable
{
    private const int Attach = 16;
    private const int Detach = 17;
    private const int WaitAll = 0x40000000; // __WALL
    private const int NoHang = 1;
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);

    private readonly int _pid;
    private readonly ManualResetEventSlim _release = new();
    private readonly TaskCompletionSource _held = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;

    private HeldThread(int pid)
    {
        _pid = pid;
        _thread = new Thread(Hold) { IsBackground = true, Name = $"holds {pid}" };
        _thread.Start();
    }

    /// <summary>Returns when the thread stands still.</summary>
    /// <exception cref="InvalidOperationException">The system does not allow it.</exception>
    public static async Task<HeldThread> HoldAsync(int pid, CancellationToken cancellationToken)
    {
        var held = new HeldThread(pid);
        await held._held.Task.WaitAsync(TimeSpan.FromSeconds(10), cancellationToken);
        return held;
    }

    public void Dispose()
    {
        _release.Set();
        _thread.Join();
        _release.Dispose();
    }

    private void Hold()
    {
        if (Ptrace(Attach, _pid, 0, 0) != 0)
        {
            _held.SetException(new InvalidOperationException($"ptrace of {_pid} failed with error {Marshal.GetLastPInvokeError()}"));
            return;
        }

        if (WaitPid(_pid, out var status, WaitAll) != _pid || !IsStopped(status))
        {
            _held.SetException(new InvalidOperationException($"process {_pid} has ended"));
            return;
        }

        _held.SetResult();
        while (!_release.Wait(Look))
        {
            // Its end is told to us first, and to its parent when we have heard it.
            if (WaitPid(_pid, out status, WaitAll | NoHang) != 0 && !IsStopped(status))
            {
                return;
            }
        }

        _ = Ptrace(Detach, _pid, 0, 0);
    }

    private static bool IsStopped(int status) => (status & 0xff) == 0x7f;

    [LibraryImport("libc", EntryPoint = "ptrace", SetLastError = true)]
    private static partial nint Ptrace(nint request, int pid, nint address, nint data);

    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    private static partial int WaitPid(int pid, out int status, int options);
}
