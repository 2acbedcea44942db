using System.Diagnostics;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>A process of ours. The only place that sends signals.</summary>
/// <remarks>
/// A signal goes out only while the process has not been reaped, so that its number can't have passed to somebody else; afterwards only
/// what is provably left of its group is killed: as long as a member lives, the kernel gives the group's number to nobody.
/// </remarks>
internal sealed class ChildProcess : IChildProcess
{
    private static readonly TimeSpan DrainPatience = TimeSpan.FromMilliseconds(500);
    private readonly Process _process;
    private readonly bool _ownGroup;
    private readonly bool _hasLifeline;
    private readonly OutputPump[] _pumps;
    private readonly TaskCompletionSource<int> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ChildProcess(Process process, LaunchChain chain, LaunchRequest request)
    {
        (_process, _ownGroup, _hasLifeline, Pid) = (process, chain.OwnGroup, chain.HasLifeline, process.Id);
        _pumps =
        [
            OutputPump.Start(process.StandardOutput.BaseStream, $"{request.Name} stdout", request.OnLine),
            OutputPump.Start(process.StandardError.BaseStream, $"{request.Name} stderr", request.OnLine),
        ];
    }

    public int Pid { get; }

    public Task<int> Ended => _ended.Task;

    /// <summary>Starts the process on the calling thread, whose end would be the child's.</summary>
    public static ChildProcess Start(ProcessStartInfo info, LaunchChain chain, LaunchRequest request)
    {
        var process = new Process { StartInfo = info, EnableRaisingEvents = true };
        try
        {
            // Exited and not WaitForExitAsync: that one waits for everybody who inherited the pipes.
            ChildProcess? child = null;
            var exitedEarly = 0;
            process.Exited += (_, _) =>
            {
                if (Interlocked.Exchange(ref exitedEarly, 1) == 0)
                {
                    Volatile.Read(ref child)?.OnExited();
                }
            };
            process.Start();
            if (!chain.HasLifeline)
            {
                process.StandardInput.Close(); // nothing to read: a program that asks a question gets an end of file and not a hang
            }

            var started = new ChildProcess(process, chain, request);
            Volatile.Write(ref child, started);
            if (Volatile.Read(ref exitedEarly) == 1)
            {
                started.OnExited();
            }

            return started;
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    public void Terminate()
    {
        Signal(Signals.Terminate);
        if (!_hasLifeline)
        {
            Signal(Signals.Continue); // the shell in between sends it by itself, and takes one signal at a time
        }
    }

    public void Kill()
    {
        if (_ownGroup)
        {
            Signal(Signals.Kill);
            return;
        }

        if (_hasLifeline)
        {
            CutLifeline(); // not SIGKILL: it would end the shell that ends the rest
            return;
        }

        try
        {
            _process.Kill(entireProcessTree: true);
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception or AggregateException)
        {
            // Ended in between.
        }
    }

    public void Continue() => Signal(Signals.Continue);

    public async Task CleanUpAsync(CancellationToken cancellationToken)
    {
        if (_hasLifeline)
        {
            CutLifeline(); // somebody may have killed the shell alone: then its watcher still ends the rest
        }

        for (var wait = 2; KillRest(); wait = Math.Min(wait * 2, 100))
        {
            await Task.Delay(TimeSpan.FromMilliseconds(wait), TimeProvider.System, cancellationToken); // a real process ends in real time
        }

        var ended = Task.WhenAll(_pumps.Select(pump => pump.Ended));
        await Task.WhenAny(ended, Task.Delay(DrainPatience, TimeProvider.System, cancellationToken));
        Array.ForEach(_pumps, pump => pump.Abandon());
    }

    public ProgressSample Sample()
    {
        if (!OperatingSystem.IsLinux() || !_ownGroup)
        {
            return default;
        }

        var sample = default(ProgressSample);
        foreach (var member in ProcFs.Group(Pid))
        {
            sample = sample with
            {
                CpuTicks = sample.CpuTicks + member.CpuTicks,
                ResidentPages = sample.ResidentPages + member.ResidentPages,
                ReadBytes = sample.ReadBytes + ProcFs.ReadBytes(member.Pid),
            };
        }

        return sample;
    }

    public ProcessLook Look(bool wholeGroup)
    {
        if (!OperatingSystem.IsLinux() || ProcFs.Process(Pid) is not { } own)
        {
            return default;
        }

        if (!wholeGroup || !_ownGroup)
        {
            return new(own.IsStopped, false, own.CpuTicks, ProcFs.ReadBytes(Pid));
        }

        var all = Sample();
        return new(own.IsStopped, true, all.CpuTicks, all.ReadBytes);
    }

    public void Dispose()
    {
        if (_hasLifeline)
        {
            CutLifeline();
        }

        _process.Dispose();
    }

    private void CutLifeline()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            // Ended in between.
        }
    }

    private void OnExited() => _ended.TrySetResult(_process.ExitCode);

    /// <summary>Kills what the process left in its group. True while something of it lives.</summary>
    private bool KillRest()
    {
        if (!_ownGroup)
        {
            return false;
        }

        var rest = ProcFs.Group(Pid);

        // The leader is reaped. A living process with its number is a stranger's, which can only be when our group was empty.
        if (rest.IsEmpty || rest.Any(member => member.Pid == Pid))
        {
            return false;
        }

        Signals.ToGroup(Pid, Signals.Kill);
        return true;
    }

    private void Signal(int signal)
    {
        if (_ended.Task.IsCompleted || HasExited())
        {
            return;
        }

        if (!_ownGroup)
        {
            if (OperatingSystem.IsWindows())
            {
                Kill(); // there is no gentle signal to another console
            }
            else
            {
                Signals.ToProcess(Pid, signal);
            }

            return;
        }

        // In its first millisecond the child has not made its group yet.
        if (!Signals.ToGroup(Pid, signal))
        {
            Signals.ToProcess(Pid, signal);
        }
    }

    private bool HasExited()
    {
        try
        {
            return _process.HasExited;
        }
        catch (InvalidOperationException)
        {
            return true;
        }
    }
}
