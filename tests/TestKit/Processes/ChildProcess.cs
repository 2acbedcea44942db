using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LlmGateway.TestKit.Processes;

/// <summary>A real child process of a test: its lines, its signals, its end. Killed with all its descendants on dispose.</summary>
public sealed partial class ChildProcess : IAsyncDisposable
{
    private const int MostLines = 20_000;
    private const int NoSuchProcess = 3; // ESRCH

    private readonly Lock _lock = new();
    private readonly Process _process;
    private readonly List<string> _lines = [];
    private readonly Task _reading;
    private bool _isDisposed;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ChildProcess(Process process)
    {
        _process = process;
        _reading = Task.WhenAll(ReadAsync(process.StandardOutput), ReadAsync(process.StandardError));
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Exit code; 128 and the signal's number when a signal ended it.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>The lines of both outputs so far.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lock)
            {
                return [.. _lines];
            }
        }
    }

    /// <summary>All output so far, for messages.</summary>
    public string Output => string.Join('\n', Lines);

    /// <summary>Starts a program. Its environment is the inherited one without <c>LLAMA_*</c>, and the additions; null removes a variable.</summary>
    public static ChildProcess Start(
        string program,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string?>? environment = null,
        string? workingDirectory = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = workingDirectory ?? "",
        };
        foreach (var name in start.Environment.Keys.Where(n => n.StartsWith("LLAMA_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(name);
        }

        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }

        return new ChildProcess(Process.Start(start)!);
    }

    /// <summary>The first line, past or future, that satisfies the condition.</summary>
    /// <exception cref="TimeoutException">None came in time, or the process ended first; the message holds all output.</exception>
    public async Task<string> WaitForLineAsync(Func<string, bool> condition, CancellationToken cancellationToken, TimeSpan? limit = null)
    {
        var deadline = Stopwatch.GetTimestamp() + (long)((limit ?? Eventually.DefaultLimit).TotalSeconds * Stopwatch.Frequency);
        while (true)
        {
            Task changed;
            var ended = _reading.IsCompleted;
            lock (_lock)
            {
                if (_lines.Find(l => condition(l)) is { } line)
                {
                    return line;
                }

                changed = _changed.Task;
            }

            var left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), deadline);
            if (ended || left <= TimeSpan.Zero)
            {
                throw new TimeoutException($"The awaited line did not come{(ended ? " and the process has ended" : "")}. Output:\n{Output}");
            }

            try
            {
                await Task.WhenAny(changed, _reading).WaitAsync(left, cancellationToken);
            }
            catch (TimeoutException)
            {
                // Looked at once more above, with the message that helps.
            }
        }
    }

    /// <summary>Waits for the end of the process; children of it that hold its outputs are not waited for.</summary>
    /// <returns>The exit code.</returns>
    /// <exception cref="TimeoutException">It did not end in time; the message holds all output.</exception>
    public async Task<int> WaitForExitAsync(CancellationToken cancellationToken, TimeSpan? limit = null)
    {
        try
        {
            await _process.WaitForExitAsync(cancellationToken).WaitAsync(limit ?? Eventually.DefaultLimit, cancellationToken);
            return ExitCode;
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"Process {Id} did not end. Output:\n{Output}");
        }
    }

    /// <summary>Waits until both outputs are read to their end.</summary>
    public Task WaitForOutputAsync(CancellationToken cancellationToken) => _reading.WaitAsync(Eventually.DefaultLimit, cancellationToken);

    /// <summary>Sends any signal by its number: 15 TERM, 2 INT, 9 KILL, 19 STOP, 18 CONT.</summary>
    public void Signal(int signal) => Signal(Id, signal);

    /// <summary>Sends a signal that may come too late: a process that was killed is gone at any moment after.</summary>
    /// <returns>False when the process is gone.</returns>
    public bool TrySignal(int signal) => TrySignal(Id, signal);

    /// <summary>Sends a signal to a process that a test knows, such as a replica of its gateway.</summary>
    public static void Signal(int pid, int signal)
    {
        if (!TrySignal(pid, signal))
        {
            throw new InvalidOperationException($"Signal {signal} to process {pid} failed: there is no such process.");
        }
    }

    public void CloseInput() => _process.StandardInput.Close();

    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private static bool TrySignal(int pid, int signal)
    {
        if (Kill(pid, signal) == 0)
        {
            return true;
        }

        var error = Marshal.GetLastPInvokeError();
        return error == NoSuchProcess ? false : throw new InvalidOperationException($"Signal {signal} to process {pid} failed with error {error}.");
    }

    private async Task ReadAsync(StreamReader reader)
    {
        try
        {
            while (await reader.ReadLineAsync() is { } line)
            {
                lock (_lock)
                {
                    if (_lines.Count < MostLines)
                    {
                        _lines.Add(line);
                    }

                    var changed = _changed;
                    _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
                    changed.SetResult();
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // Disposed while a descendant still held the pipe.
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int process, int signal);
}
