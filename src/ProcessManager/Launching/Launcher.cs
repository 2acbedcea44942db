using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Starts every child on one thread that lives as long as the launcher.</summary>
/// <remarks>
/// Linux ties the parent-death signal to the thread that forked, not to the process: a child started from a pool thread would be killed
/// whenever that thread retires. For the same reason disposing the launcher ends every child that is still there. A child asks for that
/// signal in its first millisecond; a gateway that is killed within it leaves that one child behind.
/// </remarks>
internal sealed class Launcher : ILauncher, IDisposable
{
    private readonly BlockingCollection<Action> _work = new();
    private readonly Lazy<LaunchChain> _chain;
    private int _isDisposed;

    public Launcher(ILogger<Launcher> logger)
        : this(() => Detect(logger))
    {
    }

    internal Launcher(Func<LaunchChain> chain)
    {
        _chain = new(chain);
        new Thread(Run) { IsBackground = true, Name = "child launcher" }.Start();
    }

    public Task<IChildProcess> LaunchAsync(LaunchRequest request, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource<IChildProcess>(TaskCreationOptions.RunContinuationsAsynchronously);
        _work.Add(
            () =>
            {
                try
                {
                    var chain = _chain.Value;
                    done.SetResult(ChildProcess.Start(StartInfo(request, chain), chain, request));
                }
                catch (Exception e) when (e is not OutOfMemoryException)
                {
                    done.SetException(e);
                }
            },
            cancellationToken);
        return done.Task;
    }

    public void Dispose()
    {
        // Once: the thread disposes the collection when it has left it.
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            _work.CompleteAdding();
        }
    }

    private static LaunchChain Detect(ILogger logger)
    {
        var chain = LaunchChain.Detect();
        if (!chain.Missing.IsEmpty)
        {
            var missing = string.Join(", ", chain.Missing);
            if (OperatingSystem.IsLinux())
            {
                Log.LaunchChainIncomplete(logger, missing);
            }
            else
            {
                Log.NoLaunchChain(logger, missing);
            }
        }

        return chain;
    }

    private static ProcessStartInfo StartInfo(LaunchRequest request, LaunchChain chain)
    {
        string[] line = [.. chain.Prefix, .. request.Before, request.Program, .. request.Arguments];
        var info = new ProcessStartInfo
        {
            FileName = line[0],
            WorkingDirectory = request.WorkingDirectory ?? string.Empty,
            UseShellExecute = false,
            CreateNoWindow = true,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in line.Skip(1))
        {
            info.ArgumentList.Add(argument);
        }

        info.Environment.Clear();
        foreach (var (name, value) in request.Environment)
        {
            info.Environment[name] = value;
        }

        return info;
    }

    private void Run()
    {
        foreach (var work in _work.GetConsumingEnumerable())
        {
            work();
        }

        _work.Dispose();
    }
}
