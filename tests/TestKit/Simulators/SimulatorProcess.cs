using System.Net.Sockets;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.TestKit.Simulators;

/// <summary>A real <c>llama-simulator</c> on a port that the kernel chose, killed on dispose.</summary>
public sealed class SimulatorProcess : IAsyncDisposable
{
    private const string Bound = " bound: ";
    private const string Listening = "listening on ";

    private readonly SimulatorControl _control;

    private SimulatorProcess(ChildProcess process, string address)
    {
        Process = process;
        (BaseAddress, UnixSocketPath) = address.StartsWith("unix://", StringComparison.Ordinal)
            ? (new Uri("http://localhost/"), address["unix://".Length..])
            : (new Uri(address + "/"), null);

        // A connection for each request: behind a stream the server closes without announcing it, and a pooled one would race with that.
        var handler = new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero, ConnectCallback = UnixSocketPath is null ? null : ConnectAsync };
        Client = new HttpClient(handler) { BaseAddress = BaseAddress };
        _control = new SimulatorControl(Client);
    }

    /// <summary>The built program.</summary>
    public static string Executable => RepositoryPaths.Program("Simulator", "llama-simulator");

    /// <summary>Where it listens; meaningless but for HTTP when <see cref="UnixSocketPath"/> is set.</summary>
    public Uri BaseAddress { get; }

    public string? UnixSocketPath { get; }

    /// <summary>A client of its own, over TCP or the Unix socket.</summary>
    public HttpClient Client { get; }

    public ChildProcess Process { get; }

    /// <summary>Starts one and waits until it is ready.</summary>
    public static Task<SimulatorProcess> StartAsync(CancellationToken cancellationToken, params string[] arguments) =>
        StartAsync(arguments, waitUntilReady: true, cancellationToken);

    /// <param name="arguments">Its command line; <c>--port 0</c> is added unless it names a port or a host.</param>
    /// <param name="waitUntilReady">False returns as soon as it listens, while it still loads.</param>
    /// <param name="cancellationToken">Gives up the start.</param>
    /// <param name="environment">Additions to its environment.</param>
    public static async Task<SimulatorProcess> StartAsync(
        IReadOnlyList<string> arguments,
        bool waitUntilReady,
        CancellationToken cancellationToken,
        IReadOnlyDictionary<string, string?>? environment = null)
    {
        var all = arguments.Contains("--port") || arguments.Contains("--host") ? arguments : [.. arguments, "--port", "0"];
        var process = ChildProcess.Start(Executable, all, environment);
        try
        {
            var marker = waitUntilReady ? Listening : Bound;
            var line = await process.WaitForLineAsync(l => l.Contains(marker, StringComparison.Ordinal), cancellationToken);
            return new SimulatorProcess(process, line[(line.IndexOf(marker, StringComparison.Ordinal) + marker.Length)..]);
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits until the model is loaded.</summary>
    public Task WaitUntilReadyAsync(CancellationToken cancellationToken) =>
        Process.WaitForLineAsync(static l => l.Contains(Listening, StringComparison.Ordinal), cancellationToken);

    /// <inheritdoc cref="SimulatorControl.SetFaultsAsync"/>
    public Task SetFaultsAsync(object faults, CancellationToken cancellationToken) => _control.SetFaultsAsync(faults, cancellationToken);

    /// <inheritdoc cref="SimulatorControl.ClearFaultsAsync"/>
    public Task ClearFaultsAsync(CancellationToken cancellationToken) => _control.ClearFaultsAsync(cancellationToken);

    public Task<SimulatorState> GetStateAsync(CancellationToken cancellationToken) => _control.GetStateAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        _control.Dispose();
        await Process.DisposeAsync();
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(UnixSocketPath!), cancellationToken);
        return new NetworkStream(socket, ownsSocket: true);
    }
}

/// <summary>What a simulator has seen: the answer of <c>/sim/state</c>.</summary>
/// <param name="Pid">Its process id.</param>
/// <param name="Ready">The model is loaded.</param>
/// <param name="Requests">Inference requests received.</param>
/// <param name="InFlight">Of these, not yet left.</param>
/// <param name="Answered">Answered to their end.</param>
/// <param name="Aborted">Given up because their client had gone.</param>
/// <param name="Deferred">Waiting for a slot now.</param>
/// <param name="DeferredPeak">Most that ever waited: 0 proves that the caller never sent more than there were slots.</param>
/// <param name="Processing">Slots in use.</param>
/// <param name="Streams">Streams among them.</param>
/// <param name="Connections">Open connections, this one included.</param>
/// <param name="LongestLogWriteMs">Longest time that a reader of the log held the process up.</param>
public sealed record SimulatorState(
    int Pid,
    bool Ready,
    int Requests,
    int InFlight,
    int Answered,
    int Aborted,
    int Deferred,
    int DeferredPeak,
    int Processing,
    int Streams,
    int Connections,
    double LongestLogWriteMs);
