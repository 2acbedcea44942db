using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using LlmGateway.TestKit.Processes;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.TestKit.Gateways;

/// <summary>A real <c>llm-gateway</c> as a child process: listeners on ports that the kernel chose, a state directory and replica ports of its own.</summary>
/// <remarks>Dispose ends it by SIGTERM and fails when it does not end, or leaves a process behind.</remarks>
public sealed class GatewayProcess : IAsyncDisposable
{
    private const int SigTerm = 15;

    private const string DataLabel = "  data ";
    private const string ManagementLabel = "  management ";

    private readonly GatewayFolder _folder;
    private readonly ConcurrentDictionary<ProcessIdentity, bool> _seen = [];

    private GatewayProcess(ChildProcess process, GatewayFolder folder)
    {
        (Process, _folder) = (process, folder);
        DataUrl = UrlAfter(DataLabel);
        ManagementUrl = UrlAfter(ManagementLabel);
        Data = Client(DataUrl, null);
        Management = Client(ManagementUrl, File.ReadAllText(TokenFile).Trim());
    }

    /// <summary>The built program.</summary>
    public static string Executable => RepositoryPaths.Program("Gateway", "llm-gateway");

    public ChildProcess Process { get; }

    public Uri DataUrl { get; }

    public Uri ManagementUrl { get; }

    /// <summary>A client of the data listener, without a key and without a time limit.</summary>
    public HttpClient Data { get; }

    /// <summary>A client of the management listener, with the token.</summary>
    public HttpClient Management { get; }

    /// <summary>File that holds the management token.</summary>
    public string TokenFile => Path.Combine(_folder.StateDirectory, "management.token");

    /// <summary>The configuration file.</summary>
    public string ConfigurationPath => Path.Combine(_folder.Path, "gateway.json");

    /// <summary>Puts another configuration in the file's place at once, completed as at the start.</summary>
    public void Configure(string configuration) => _folder.Write(configuration);

    /// <summary>What it has written so far to both outputs.</summary>
    public string Output => Process.Output;

    /// <summary>Starts one with a configuration, completed by what a test has of its own: listeners, state directory, replica ports.</summary>
    public static async Task<GatewayProcess> StartAsync(
        string configuration, CancellationToken cancellationToken, IReadOnlyDictionary<string, string?>? environment = null, params string[] arguments)
    {
        var folder = new GatewayFolder();
        return await StartAsync(folder, ["--config", folder.Write(configuration), .. arguments], environment, cancellationToken);
    }

    /// <summary>Starts one by its command line alone; listeners, state directory and the ports of <paramref name="models"/> are added to it.</summary>
    public static Task<GatewayProcess> StartWithArgumentsAsync(IEnumerable<string> arguments, IEnumerable<string> models, CancellationToken cancellationToken)
    {
        var folder = new GatewayFolder();
        return StartAsync(folder, [.. folder.Overrides(models), .. arguments], null, cancellationToken);
    }

    /// <summary>A client of the data listener that sends a key.</summary>
    public HttpClient WithKey(string secret) => Client(DataUrl, secret);

    public async Task<GatewaySnapshot> StatusAsync(CancellationToken cancellationToken)
    {
        var status = GatewaySnapshot.Parse(await Management.GetStringAsync(new Uri("api/status", UriKind.Relative), cancellationToken));
        foreach (var replica in status.Replicas)
        {
            if (replica.Pid is { } pid && ProcessIdentity.Of(pid) is { } identity)
            {
                _seen[identity] = true;
            }
        }

        return status;
    }

    /// <summary>Waits until the status is as expected.</summary>
    public Task<GatewaySnapshot> UntilAsync(Func<GatewaySnapshot, bool> condition, string expected, CancellationToken cancellationToken, TimeSpan? limit = null) =>
        Eventually.GetAsync(() => StatusAsync(cancellationToken), condition, expected, cancellationToken, limit ?? TimeSpan.FromSeconds(30));

    /// <summary>Waits until every replica of every model takes work.</summary>
    public Task<GatewaySnapshot> UntilReadyAsync(CancellationToken cancellationToken) =>
        UntilAsync(status => status.Replicas.Any() && status.Replicas.All(replica => replica.State == "ready"), "all replicas to be ready", cancellationToken, TimeSpan.FromSeconds(60));

    /// <summary>The living processes that it has started, and theirs.</summary>
    public IReadOnlyList<ProcessIdentity> Descendants()
    {
        var all = ProcessIdentity.DescendantsOf(Process.Id);
        foreach (var one in all)
        {
            _seen[one] = true;
        }

        return all;
    }

    /// <summary>Looks 20 times a second, until stopped, for the most processes that live at one time.</summary>
    public async Task<int> MostDescendantsAsync(CancellationToken stop)
    {
        var most = 0;
        using var period = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        await using var end = stop.Register(period.Dispose);
        do
        {
            most = Math.Max(most, Descendants().Count);
        }
        while (await period.WaitForNextTickAsync(CancellationToken.None));

        return most;
    }

    /// <summary>The control of each simulated replica, in the order of the status.</summary>
    public async Task<IReadOnlyList<SimulatorControl>> SimulatorsAsync(CancellationToken cancellationToken) =>
        [.. (await UntilReadyAsync(cancellationToken)).Replicas.Select(replica => new SimulatorControl(replica.Address!))];

    /// <summary>The value of one series of <c>/metrics</c>, 0 when there is none: <c>llmgateway_process_restarts_total{backend="demo/0"}</c>.</summary>
    /// <param name="name">The metric's name.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <param name="labels">Labels that the series must have, others may be there as well; several series are added up.</param>
    public async Task<double> MetricAsync(string name, CancellationToken cancellationToken, params (string Name, string Value)[] labels)
    {
        var text = await Management.GetStringAsync(new Uri("metrics", UriKind.Relative), cancellationToken);
        return text.Split('\n')
            .Where(line => line.StartsWith(name, StringComparison.Ordinal) && line.Length > name.Length && (line[name.Length] is '{' or ' '))
            .Where(line => labels.All(label => line.Contains($"{label.Name}=\"{label.Value}\"", StringComparison.Ordinal)))
            .Sum(line => double.Parse(line[(line[name.Length] == '{' ? line.LastIndexOf('}') + 2 : name.Length + 1)..].Split(' ')[0], CultureInfo.InvariantCulture));
    }

    public async ValueTask DisposeAsync()
    {
        Data.Dispose();
        Management.Dispose();
        var problems = new List<string>();
        if (!Process.HasExited)
        {
            Descendants();
            Process.TrySignal(SigTerm); // one that its test has just killed may be gone by now
            try
            {
                await Process.WaitForExitAsync(CancellationToken.None, TimeSpan.FromSeconds(30));
            }
            catch (TimeoutException)
            {
                problems.Add("it did not end by SIGTERM");
            }
        }

        var output = Process.Output;
        await Process.DisposeAsync();
        try
        {
            await Eventually.TrueAsync(() => !_seen.Keys.Any(process => process.IsAlive), "no process", CancellationToken.None, TimeSpan.FromSeconds(2));
        }
        catch (TimeoutException)
        {
            var left = _seen.Keys.Where(process => process.IsAlive).ToList();
            problems.Add($"it left processes behind: {string.Join(", ", left.Select(process => process.Pid))}");
            left.ForEach(End);
        }

        _folder.Dispose();
        if (problems.Count > 0)
        {
            throw new InvalidOperationException($"The gateway was asked to end, but {string.Join(", and ", problems)}. Output:\n{output}");
        }
    }

    private static async Task<GatewayProcess> StartAsync(
        GatewayFolder folder, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment, CancellationToken cancellationToken)
    {
        var process = ChildProcess.Start(Executable, arguments, environment, folder.Path);
        try
        {
            // The banner comes when both listeners are bound, the data listener's line first.
            await process.WaitForLineAsync(line => line.StartsWith(ManagementLabel, StringComparison.Ordinal), cancellationToken, TimeSpan.FromSeconds(60));
            return new GatewayProcess(process, folder);
        }
        catch
        {
            await process.DisposeAsync();
            folder.Dispose();
            throw;
        }
    }

    private static void End(ProcessIdentity process)
    {
        try
        {
            using var handle = System.Diagnostics.Process.GetProcessById(process.Pid);
            handle.Kill();
        }
        catch (ArgumentException)
        {
            // Ended in this moment.
        }
    }

    private static HttpClient Client(Uri address, string? bearer)
    {
        var client = new HttpClient { BaseAddress = address, Timeout = Timeout.InfiniteTimeSpan };
        if (bearer is not null)
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        }

        return client;
    }

    private Uri UrlAfter(string label)
    {
        var line = Process.Lines.First(line => line.StartsWith(label, StringComparison.Ordinal));
        return new Uri(line[label.Length..].Split(' ', ',').First(word => word.StartsWith("http", StringComparison.Ordinal)));
    }
}

/// <summary>The temporary folder and the ports of one gateway.</summary>
public sealed class GatewayFolder : IDisposable
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly PortBlock _ports = PortBlock.Take();

    /// <summary>The folder, made for this purpose.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("llmgateway-test-").FullName;

    public string StateDirectory => System.IO.Path.Combine(Path, "state");

    /// <summary>Ports for replicas.</summary>
    public string Ports => _ports.ToString();

    /// <summary>Writes the configuration into the folder, with what it leaves open filled in.</summary>
    /// <returns>The file's path.</returns>
    public string Write(string configuration)
    {
        var root = JsonNode.Parse(configuration, documentOptions: new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true })!.AsObject();
        var gateway = Section(root, "Gateway");
        gateway["Listen"] ??= "http://127.0.0.1:0";
        gateway[nameof(StateDirectory)] ??= StateDirectory;
        Section(root, "Management")["Listen"] ??= "http://127.0.0.1:0";
        foreach (var (_, model) in root["Models"] as JsonObject ?? [])
        {
            if (model is JsonObject local && local["Kind"]?.GetValue<string>() != "remote")
            {
                local[nameof(Ports)] ??= Ports;
            }
        }

        var path = System.IO.Path.Combine(Path, "gateway.json");
        File.WriteAllText(path + ".new", root.ToJsonString(Indented));
        File.Move(path + ".new", path, overwrite: true);
        return path;
    }

    /// <summary>The same for a command line.</summary>
    public IEnumerable<string> Overrides(IEnumerable<string> models) =>
    [
        "--Gateway:Listen=http://127.0.0.1:0",
        "--Management:Listen=http://127.0.0.1:0",
        $"--Gateway:StateDirectory={StateDirectory}",
        .. models.Select(model => $"--Models:{model}:Ports={Ports}"),
    ];

    public void Dispose()
    {
        _ports.Dispose();
        Directory.Delete(Path, recursive: true);
    }

    private static JsonObject Section(JsonObject root, string name)
    {
        if (root[name] is not JsonObject section)
        {
            root[name] = section = [];
        }

        return section;
    }
}
