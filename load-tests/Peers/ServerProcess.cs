using System.ComponentModel;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using LlmGateway.LoadTests.Running;

namespace LlmGateway.LoadTests.Peers;

/// <summary>A server that this run started: a proxy or a backend. Ended on dispose.</summary>
internal sealed partial class ServerProcess : IAsyncDisposable
{
    private const int Sigterm = 15;
    private const int MostOutput = 4096;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(5);

    private readonly Process _process;
    private readonly Lock _lock = new();
    private string _output = "";

    private ServerProcess(Process process, Uri url) => (_process, Url) = (process, url);

    /// <summary>Where clients connect.</summary>
    public Uri Url { get; }

    public TimeSpan CpuTime => ProcessTree.CpuTime(_process.Id);

    public long Pss => ProcessTree.Pss(_process.Id);

    /// <summary>Starts one and waits until a model list is answered through it.</summary>
    /// <param name="url">Where it will listen.</param>
    /// <param name="program">What to run.</param>
    /// <param name="arguments">With these arguments.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="SpawnException">It did not come up; the message holds its last words.</exception>
    public static async Task<ServerProcess> StartAsync(Uri url, string program, IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var name in start.Environment.Keys.Where(static name => name.StartsWith("LLMGATEWAY_", StringComparison.OrdinalIgnoreCase)).ToList())
        {
            start.Environment.Remove(name);
        }

        Process process;
        try
        {
            process = Process.Start(start) ?? throw new SpawnException($"{program} did not start.");
        }
        catch (Win32Exception e)
        {
            throw new SpawnException($"{program} did not start: {e.Message}.");
        }

        var server = new ServerProcess(process, url);
        try
        {
            process.OutputDataReceived += (_, e) => server.Take(e.Data);
            process.ErrorDataReceived += (_, e) => server.Take(e.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            await server.WaitUntilReadyAsync(cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A loopback address that nobody listens on now.</summary>
    public static Uri FreeAddress()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return new Uri($"http://127.0.0.1:{((IPEndPoint)socket.LocalEndPoint!).Port}");
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _ = Kill(_process.Id, Sigterm);
            try
            {
                await _process.WaitForExitAsync().WaitAsync(StopLimit).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                _process.Kill(entireProcessTree: true);
            }
        }

        _process.Dispose();
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        using var http = new HttpClient();
        using var interval = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        try
        {
            while (!await IsReadyAsync(http, limit.Token).ConfigureAwait(false))
            {
                if (_process.HasExited)
                {
                    throw new SpawnException($"{_process.StartInfo.FileName} ended at once: {Output()}");
                }

                await interval.WaitForNextTickAsync(limit.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new SpawnException($"{_process.StartInfo.FileName} was not ready within {StartLimit.TotalSeconds} s: {Output()}");
        }
    }

    // The gateway lists a model before its backend is ready; whether it takes work is what /health says, there and at llama-server.
    private async Task<bool> IsReadyAsync(HttpClient http, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await http.GetAsync(new Uri(Url, "/health"), cancellationToken).ConfigureAwait(false);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private void Take(string? line)
    {
        lock (_lock)
        {
            _output = _output.Length > MostOutput ? line + "\n" : _output + line + "\n";
        }
    }

    private string Output()
    {
        lock (_lock)
        {
            return _output.Trim();
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int process, int signal);
}
