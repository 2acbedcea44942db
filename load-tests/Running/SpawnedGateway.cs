using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Running;

/// <summary>A gateway of this repository with simulated models behind it, on ports that the system chose; ended on dispose.</summary>
internal sealed partial class SpawnedGateway : IAsyncDisposable
{
    public const string Model = "demo";

    private const int Sigkill = 9;
    private const int Sigterm = 15;
    private const int MostLines = 200;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(20);

    private readonly Process _process;
    private readonly string _folder;
    private readonly Queue<string> _lines = [];
    private readonly TaskCompletionSource<Uri> _url = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Uri> _managementUrl = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private SpawnedGateway(Process process, string folder) => (_process, _folder) = (process, folder);

    /// <summary>Where clients connect.</summary>
    public Uri Url => _url.Task.Result;

    /// <summary>CPU time of the gateway so far, without its children.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Starts one and waits until it can take work.</summary>
    /// <param name="settings">What to start.</param>
    /// <param name="cancellationToken">Gives up the start.</param>
    /// <exception cref="SpawnException">It did not come up; the message says why.</exception>
    public static async Task<SpawnedGateway> StartAsync(SpawnSettings settings, CancellationToken cancellationToken)
    {
        var program = BuiltPrograms.Gateway();
        var folder = Directory.CreateTempSubdirectory("llmgateway-load-").FullName;
        var config = Path.Combine(folder, "gateway.json");
        await File.WriteAllTextAsync(config, settings.ToConfiguration(Path.Combine(folder, "state")), cancellationToken).ConfigureAwait(false);
        var start = new ProcessStartInfo(program, ["--config", config, .. settings.Arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        foreach (var name in start.Environment.Keys.Where(static name => name.StartsWith("LLMGATEWAY_", StringComparison.OrdinalIgnoreCase)).ToList())
        {
            start.Environment.Remove(name);
        }

        var gateway = new SpawnedGateway(Process.Start(start) ?? throw new SpawnException($"{program} did not start."), folder);
        try
        {
            gateway.Listen();
            await gateway.WaitUntilReadyAsync(cancellationToken).ConfigureAwait(false);
            return gateway;
        }
        catch (Exception e)
        {
            await gateway.DisposeAsync().ConfigureAwait(false);
            throw e is SpawnException or OperationCanceledException ? e : new SpawnException(e.Message);
        }
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            if (!_process.HasExited)
            {
                if (OperatingSystem.IsWindows())
                {
                    _process.Kill(entireProcessTree: true);
                }
                else
                {
                    _ = Kill(_process.Id, Sigterm);
                }

                await _process.WaitForExitAsync().WaitAsync(StopLimit).ConfigureAwait(false);
            }
        }
        catch (TimeoutException)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
        try
        {
            Directory.Delete(_folder, recursive: true);
        }
        catch (IOException)
        {
            // A temporary folder that stays is no failure of the run.
        }
    }

    private void Listen()
    {
        _process.OutputDataReceived += (_, e) => Take(e.Data);
        _process.ErrorDataReceived += (_, e) => Take(e.Data);
        _process.EnableRaisingEvents = true;
        _process.Exited += (_, _) => _url.TrySetException(new SpawnException($"The gateway ended before it listened:\n{Output()}"));
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    private void Take(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_lines)
        {
            _lines.Enqueue(line);
            if (_lines.Count > MostLines)
            {
                _lines.Dequeue();
            }
        }

        if (DataLine().Match(line) is { Success: true } match)
        {
            _url.TrySetResult(new Uri(match.Groups[1].Value));
        }

        if (ManagementLine().Match(line) is { Success: true } management)
        {
            _managementUrl.TrySetResult(new Uri(management.Groups[1].Value));
        }
    }

    private string Output()
    {
        lock (_lines)
        {
            return string.Join('\n', _lines);
        }
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        try
        {
            var url = await _url.Task.WaitAsync(limit.Token).ConfigureAwait(false);
            using var http = new HttpClient();
            using var interval = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
            while (!await IsReadyAsync(http, new Uri(url, "health"), limit.Token).ConfigureAwait(false))
            {
                await interval.WaitForNextTickAsync(limit.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new SpawnException($"The gateway was not ready within {StartLimit.TotalSeconds} s:\n{Output()}");
        }
    }

    private static async Task<bool> IsReadyAsync(HttpClient http, Uri health, CancellationToken cancellationToken)
    {
        using var response = await http.GetAsync(health, cancellationToken).ConfigureAwait(false);
        return response.IsSuccessStatusCode;
    }

    /// <summary>Does to the server what the scenario says, when it says so.</summary>
    /// <param name="disturbances">In order of time.</param>
    /// <param name="tell">Takes a sentence about each.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task DisturbAsync(ImmutableArray<Disturbance> disturbances, Action<string> tell, CancellationToken cancellationToken)
    {
        if (disturbances.IsEmpty)
        {
            return;
        }

        var start = Stopwatch.GetTimestamp();
        using var management = new ManagementClient(await _managementUrl.Task.ConfigureAwait(false), Path.Combine(_folder, "state", "management.token"), Model);
        foreach (var disturbance in disturbances)
        {
            var left = disturbance.At - Stopwatch.GetElapsedTime(start);
            await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, TimeProvider.System, cancellationToken).ConfigureAwait(false);
            var at = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var done = await ApplyAsync(disturbance.Kind, management, cancellationToken).ConfigureAwait(false);
            tell(string.Create(CultureInfo.InvariantCulture, $"At {at:0.0} s: {done}"));
        }
    }

    private static async Task<string> ApplyAsync(DisturbanceKind kind, ManagementClient management, CancellationToken cancellationToken)
    {
        var replicas = await management.ReplicasAsync(cancellationToken).ConfigureAwait(false);
        if (kind == DisturbanceKind.KillReplica)
        {
            if (replicas.Where(static replica => replica.Pid is not null).MaxBy(static replica => replica.Busy) is not { Pid: { } pid } busiest)
            {
                return "there was no process to kill.";
            }

            _ = Kill(pid, Sigkill);
            return $"{busiest.Name} was killed with {busiest.Busy} busy slots.";
        }

        var started = Stopwatch.GetTimestamp();
        for (var i = 0; i < replicas.Count; i++)
        {
            await management.RestartAsync(i, cancellationToken).ConfigureAwait(false);
        }

        return string.Create(CultureInfo.InvariantCulture, $"{replicas.Count} processes were restarted, one after the other, in {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s.");
    }

    [GeneratedRegex(@"^\s*management\s+(https?://[^\s,]+)")]
    private static partial Regex ManagementLine();

    [GeneratedRegex(@"^\s*data\s+(https?://[^\s,]+)")]
    private static partial Regex DataLine();

    [LibraryImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int process, int signal);
}

/// <summary>What to start: a gateway with one simulated model.</summary>
/// <param name="Replicas">Simulated servers.</param>
/// <param name="Slots">Slots of each.</param>
/// <param name="ServiceTime">What each request takes in a slot; zero is the simulator's own pace, by the lengths of prompt and answer.</param>
/// <param name="Keys">API keys that it knows; empty asks for none.</param>
/// <param name="Arguments">More arguments for the gateway.</param>
internal sealed record SpawnSettings(int Replicas, int Slots, TimeSpan ServiceTime, ImmutableArray<KeyShare> Keys, IReadOnlyList<string> Arguments)
{
    /// <summary>llama-server shares its context out among the slots: with many of them, each prompt would be too long.</summary>
    private const int ContextPerSlot = 8192;

    public override string ToString() => ServiceTime > TimeSpan.Zero
        ? string.Create(CultureInfo.InvariantCulture, $"{Replicas} × {Slots} simulated slots of {ServiceTime.TotalMilliseconds} ms: {Replicas * Slots / ServiceTime.TotalSeconds:0.#} requests/s")
        : string.Create(CultureInfo.InvariantCulture, $"{Replicas} × {Slots} simulated slots");

    public string ToConfiguration(string stateDirectory) => new JsonObject
    {
        ["Gateway"] = new JsonObject { ["Listen"] = "http://127.0.0.1:0", ["StateDirectory"] = stateDirectory },
        ["Management"] = new JsonObject { ["Listen"] = "http://127.0.0.1:0" },
        [nameof(Keys)] = new JsonArray([.. Keys.Select(static (key, i) => new JsonObject
        {
            ["Name"] = key.Name ?? $"key-{i + 1}",
            ["Hash"] = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key.Key))),
        })]),
        ["Models"] = new JsonObject
        {
            [SpawnedGateway.Model] = new JsonObject
            {
                ["Kind"] = "simulator",
                [nameof(Replicas)] = Replicas,
                [nameof(Slots)] = Slots,
                ["Args"] = new JsonArray("--sim-service-ms", Text((int)ServiceTime.TotalMilliseconds), "--ctx-size", Text(Slots * ContextPerSlot)),
            },
        },
    }.ToJsonString();

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A gateway could not be started; the message says why and what to do.</summary>
internal sealed class SpawnException(string message) : Exception(message);
