using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Orphans;

/// <summary>Linux tells all of it, and a pidfd makes sure that a signal reaches the very process that was looked at.</summary>
internal sealed partial class LinuxProcesses : ISystemProcesses
{
    // The same numbers on every architecture.
    private const long PidfdSendSignal = 424;
    private const long PidfdOpen = 434;
    private const int MostEnvironment = 4 << 20;

    public string BootId { get; } = ProcFs.Text("/proc/sys/kernel/random/boot_id").Trim();

    public long? StartedAt(int pid) => Stat(pid)?.StartTicks;

    public byte[]? CommandLine(int pid) => Bytes($"/proc/{pid}/cmdline");

    public IEnumerable<int> WithEnvironment(string entry)
    {
        var wanted = Encoding.UTF8.GetBytes(entry + '\0');
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                && Bytes(folder + "/environ") is { } environment
                && Holds(environment, wanted)
                && Stat(pid) is not null)
            {
                yield return pid;
            }
        }
    }

    public void Kill(int pid, long startedAt)
    {
        var descriptor = (int)System(PidfdOpen, pid, 0, 0, 0);
        try
        {
            // Opened first and looked at then: what was looked at is what the descriptor means, whatever happens to the number later.
            if (Stat(pid) is not { } stat || stat.StartTicks != startedAt)
            {
                return;
            }

            if (stat.Group == pid)
            {
                Signals.ToGroup(pid, Signals.Kill); // while its leader lives, nobody else gets the group's number
            }

            if (descriptor < 0 || System(PidfdSendSignal, descriptor, Signals.Kill, 0, 0) != 0)
            {
                Signals.ToProcess(pid, Signals.Kill); // an old kernel: the number was looked at a moment ago
            }
        }
        finally
        {
            if (descriptor >= 0)
            {
                _ = Close(descriptor);
            }
        }
    }

    /// <summary>The entry begins the block or comes after another one's end.</summary>
    internal static bool Holds(ReadOnlySpan<byte> environment, ReadOnlySpan<byte> entry)
    {
        for (var rest = environment; ;)
        {
            if (rest.StartsWith(entry))
            {
                return true;
            }

            var end = rest.IndexOf((byte)0);
            if (end < 0)
            {
                return false;
            }

            rest = rest[(end + 1)..];
        }
    }

    private static ProcStat? Stat(int pid) => ProcStat.Parse(ProcFs.Text($"/proc/{pid}/stat")) is { IsDead: false } stat ? stat : null;

    private static byte[]? Bytes(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            using var content = new MemoryStream();
            var buffer = new byte[16 * 1024];
            int read;
            while ((read = file.Read(buffer)) > 0 && content.Length < MostEnvironment)
            {
                content.Write(buffer, 0, read);
            }

            return content.ToArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null; // another user's, or it has just ended
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long System(long number, long first, long second, long third, long fourth);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
