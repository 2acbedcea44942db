using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LlmGateway.Probes;

/// <summary>A command, started without a shell in a process group of its own; exit code 0 passes, and at the timeout the whole group is killed.</summary>
internal sealed partial class ExecProbe : Probe
{
    private const int SigKill = 9;
    private static readonly string? Setsid = OperatingSystem.IsLinux() ? FindSetsid() : null;
    private readonly IReadOnlyList<string> _command;

    public ExecProbe(ProbeOptions options, TimeProvider time)
        : base(options.Timeout, time)
    {
        if (options.Command is [] or [""])
        {
            throw new ArgumentException("An exec probe needs a command.", nameof(options));
        }

        _command = options.Command;
    }

    private protected override async Task<ProbeResult> AskAsync(long started, CancellationToken cancellationToken)
    {
        using var process = new Process { StartInfo = StartInfo(), EnableRaisingEvents = true };
        var exited = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        process.Exited += (_, _) => exited.TrySetResult();
        try
        {
            process.Start();
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or InvalidOperationException or IOException)
        {
            return ProbeResult.Fail(ProbeReason.CannotStart, Time.GetElapsedTime(started));
        }

        try
        {
            process.StandardInput.Close();

            // Nobody reads what a probe prints, but it must not block on a full pipe, nor die of a closed one.
            _ = DrainAsync(process.StandardOutput.BaseStream);
            _ = DrainAsync(process.StandardError.BaseStream);
            await exited.Task.WaitAsync(cancellationToken);
        }
        finally
        {
            // Also after a good end: what the command left behind in its group is ours to remove. The kernel hands numbers out in turn,
            // so the group's is nobody else's a moment after it ended.
            Kill(process);
        }

        var elapsed = Time.GetElapsedTime(started);
        return process.ExitCode switch
        {
            0 => ProbeResult.Pass(elapsed, 0),
            127 or 126 when Setsid is not null => ProbeResult.Fail(ProbeReason.CannotStart, elapsed, process.ExitCode),
            var code => ProbeResult.Fail(ProbeReason.ExitCode, elapsed, code),
        };
    }

    private ProcessStartInfo StartInfo()
    {
        var info = new ProcessStartInfo
        {
            FileName = Setsid ?? _command[0],
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var argument in Setsid is null ? _command.Skip(1) : _command.Prepend("--"))
        {
            info.ArgumentList.Add(argument);
        }

        return info;
    }

    private static async Task DrainAsync(Stream output)
    {
        try
        {
            await output.CopyToAsync(Stream.Null);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or OperationCanceledException)
        {
            // The process is gone.
        }
    }

    private static void Kill(Process process)
    {
        try
        {
            // Before setsid has run there is no such group yet, and the call does nothing: the second kill is for that moment.
            if (Setsid is not null)
            {
                _ = SendSignal(-process.Id, SigKill);
            }

            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: Setsid is null);
            }
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // Ended in between.
        }
    }

    private static string? FindSetsid() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(':')
            .Where(folder => folder.StartsWith('/'))
            .Select(folder => Path.Combine(folder, "setsid"))
            .FirstOrDefault(File.Exists);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int pid, int signal);
}
