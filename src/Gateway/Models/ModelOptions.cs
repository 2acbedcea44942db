using System.ComponentModel.DataAnnotations;
using System.Text.Json.Nodes;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Models;

/// <summary>Who serves a model.</summary>
internal enum ModelKind
{
    /// <summary>llama-server processes that the gateway runs.</summary>
    LlamaServer,

    /// <summary>The built-in stand-in, as child processes.</summary>
    Simulator,

    /// <summary>Any other program that the gateway runs.</summary>
    Command,

    /// <summary>Servers that somebody else runs.</summary>
    Remote,
}

/// <summary>When a model's replicas are started.</summary>
internal enum LoadMode
{
    /// <summary>With the gateway.</summary>
    Eager,

    /// <summary>At the first request.</summary>
    OnDemand,
}

/// <summary>One model.</summary>
internal sealed record ModelOptions
{
    /// <summary>Other names that clients may use for it.</summary>
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>Who serves it. <value>Default llama-server.</value></summary>
    public ModelKind Kind { get; init; } = ModelKind.LlamaServer;

    /// <summary>Program to run: a path, or a name looked up in PATH. <value>Default <c>llama-server</c>; the kind simulator needs none.</value></summary>
    public string? Executable { get; init; }

    /// <summary>Its arguments, never through a shell; <c>{host} {port} {slots} {model} {replica}</c> are replaced.</summary>
    public IReadOnlyList<string> Args { get; init; } = [];

    /// <summary>Environment variables to set, with the same replacements; null removes one.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();

    /// <summary>Working directory. <value>Default: the gateway's own.</value></summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Processes to keep; the least of them where <see cref="Scale"/> allows more. <value>0 to 256; default 1.</value></summary>
    [Range(0, 256)]
    public int Replicas { get; init; } = 1;

    /// <summary>More processes while requests wait.</summary>
    public ScaleOptions Scale { get; init; } = new();

    /// <summary>Requests that one process works on at once. <value>1 to 1024; default 4.</value></summary>
    [Range(1, 1024)]
    public int Slots { get; init; } = 4;

    /// <summary>Keeps each local process on cores of its own: the machine's are divided among all local replicas. Linux only. <value>Default false: the kernel decides.</value></summary>
    public bool CpuAffinity { get; init; }

    /// <summary>How local processes are reached. <value>Default tcp.</value></summary>
    public ReplicaTransport Transport { get; init; } = ReplicaTransport.Tcp;

    /// <summary>Range that local ports are taken from. <value>Default <c>18100-18199</c>.</value></summary>
    public PortRange Ports { get; init; } = new(18100, 18199);

    /// <summary>Kind remote: the servers.</summary>
    public IReadOnlyList<RemoteOptions> Remotes { get; init; } = [];

    /// <summary>When to start. <value>Default eager.</value></summary>
    public LoadMode Load { get; init; } = LoadMode.Eager;

    /// <summary>Unload after this long without a request. <value>1 s to 30 d; default never.</value></summary>
    [DurationRange("1s", "720h")]
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>Name of the group whose models exclude each other.</summary>
    public string? Group { get; init; }

    /// <summary>Whose room is taken last when another model needs it: of idle models those with the lowest priority go first. <value>Default normal.</value></summary>
    public Priority KeepPriority { get; init; } = Priority.Normal;

    /// <summary>Memory that one process takes, when the estimate is known to be wrong.</summary>
    [SizeRange("1MiB", "1PiB")]
    public ByteSize? MemoryBytes { get; init; }

    /// <summary>What differs from the root section <c>Queue</c>.</summary>
    public QueueOptions Queue { get; init; } = new();

    /// <summary>How long things may take.</summary>
    public TimeoutOptions Timeouts { get; init; } = new();

    /// <summary>How its processes are asked about their health.</summary>
    public ProbesOptions Probes { get; init; } = new();

    /// <summary>How ended processes are started again.</summary>
    public RestartSection Restart { get; init; } = new();

    /// <summary>When a failing backend is left alone for a while.</summary>
    public BreakerOptions Breaker { get; init; } = new();

    /// <summary>What becomes of requests whose backend fails.</summary>
    public RetryOptions Retry { get; init; } = new();

    /// <summary>Time over which a fresh backend's slots are opened one by one. <value>0 s (off) to 1 h; default 10 s.</value></summary>
    [DurationRange("0s", "1h")]
    public TimeSpan SlowStart { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>From SIGTERM to SIGKILL. <value>0 s to 10 min; default 10 s.</value></summary>
    [DurationRange("0s", "10m")]
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Fields to set at the top of every body, or in every form, in place of the client's own; <c>model</c> names it to the backend. <value>Not <c>stream</c>.</value></summary>
    public JsonObject SetParams { get; init; } = [];

    /// <summary>Fields to remove from the top of every body, or from every form. <value>Not <c>stream</c>.</value></summary>
    public IReadOnlyList<string> StripParams { get; init; } = [];
}

/// <summary>When a model gets more processes, and when it gives them back.</summary>
internal sealed record ScaleOptions
{
    /// <summary>Most processes. <value>1 to 256; default: as many as <c>Replicas</c>.</value></summary>
    [Range(1, 256)]
    public int? MaxReplicas { get; init; }

    /// <summary>Add processes when all slots are in use and a request has waited this long. <value>100 ms to 1 h; default 2 s.</value></summary>
    [DurationRange("100ms", "1h")]
    public TimeSpan UpAfter { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Take one away when half the slots of the others would have been enough for this long. <value>1 s to 24 h; default 5 min.</value></summary>
    [DurationRange("1s", "24h")]
    public TimeSpan DownAfter { get; init; } = TimeSpan.FromMinutes(5);
}

/// <summary>One server that somebody else runs.</summary>
internal sealed record RemoteOptions
{
    /// <summary>Base URL, <c>http</c> or <c>https</c>.</summary>
    public string Url { get; init; } = "";

    /// <summary>Requests that it works on at once. <value>1 to 1024; default 4.</value></summary>
    [Range(1, 1024)]
    public int Slots { get; init; } = 4;

    /// <summary>File that holds the key it asks for.</summary>
    public string? KeyFile { get; init; }
}

/// <summary>How long things may take.</summary>
internal sealed record TimeoutOptions
{
    /// <summary>TCP connect. <value>10 ms to 5 min; default 2 s.</value></summary>
    [DurationRange("10ms", "5m")]
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Streams: from the grant of a slot to the first token. <value>10 ms to 24 h; default 600 s.</value></summary>
    [DurationRange("10ms", "24h")]
    public TimeSpan FirstToken { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>Streams: between two tokens. <value>10 ms to 24 h; default 60 s.</value></summary>
    [DurationRange("10ms", "24h")]
    public TimeSpan BetweenTokens { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>From the grant to the last byte. <value>10 ms to 168 h; default 1 h.</value></summary>
    [DurationRange("10ms", "168h")]
    public TimeSpan Total { get; init; } = TimeSpan.FromHours(1);
}

/// <summary>The three probes. An absent one has the default of its kind.</summary>
internal sealed record ProbesOptions
{
    /// <summary>Decides when a process is up; gates the others. Without a Period of its own it asks more often at first: after 50 ms, then 75, and so on up to 500.</summary>
    public ProbeSection? Startup { get; init; }

    /// <summary>Gates traffic.</summary>
    public ProbeSection? Readiness { get; init; }

    /// <summary>Ends what hangs.</summary>
    public ProbeSection? Liveness { get; init; }
}

/// <summary>One probe; an absent value is the default for the probe and the model's kind.</summary>
internal sealed record ProbeSection
{
    /// <summary>http, tcp, exec, or progress (liveness only).</summary>
    public ProbeKind? Kind { get; init; }

    /// <summary>http: absolute path; status 200 to 399 passes.</summary>
    public string? Path { get; init; }

    /// <summary>http, tcp: another port of the same host.</summary>
    [Range(1, 65535)]
    public int? Port { get; init; }

    /// <summary>http: <c>http</c> or <c>https</c>.</summary>
    public string? Scheme { get; init; }

    /// <summary>http: extra request headers.</summary>
    public IReadOnlyDictionary<string, string>? Headers { get; init; }

    /// <summary>exec: program and arguments; exit code 0 passes.</summary>
    public IReadOnlyList<string>? Command { get; init; }

    /// <summary>Wait before the first try. <value>0 s to 1 h.</value></summary>
    [DurationRange("0s", "1h")]
    public TimeSpan? InitialDelay { get; init; }

    /// <summary>Time between two tries. <value>50 ms to 1 h.</value></summary>
    [DurationRange("50ms", "1h")]
    public TimeSpan? Period { get; init; }

    /// <summary>Longest wait for one answer. <value>10 ms to 5 min.</value></summary>
    [DurationRange("10ms", "5m")]
    public TimeSpan? Timeout { get; init; }

    /// <summary>Passes in a row that make it healthy. <value>1 to 100; default 1, and 2 for readiness once it has failed.</value></summary>
    [Range(1, 100)]
    public int? SuccessThreshold { get; init; }

    /// <summary>Failures in a row that make it unhealthy. <value>1 to 100.</value></summary>
    [Range(1, 100)]
    public int? FailureThreshold { get; init; }

    /// <summary>startup, progress: longest time without any progress. <value>100 ms to 24 h.</value></summary>
    [DurationRange("100ms", "24h")]
    public TimeSpan? StallTimeout { get; init; }
}

/// <summary>How ended processes are started again.</summary>
internal sealed record RestartSection
{
    /// <summary>always, on-failure or never. <value>Default always.</value></summary>
    public RestartPolicyKind Policy { get; init; } = RestartPolicyKind.Always;

    /// <summary>First delay; doubles with each failure in a row. <value>10 ms to 1 h; default 1 s.</value></summary>
    [DurationRange("10ms", "1h")]
    public TimeSpan InitialBackoff { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest delay. <value>10 ms to 24 h; default 60 s.</value></summary>
    [DurationRange("10ms", "24h")]
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Restarts allowed in the window. <value>0 to 1000; default 5.</value></summary>
    [Range(0, 1000)]
    public int MaxRestarts { get; init; } = 5;

    /// <summary>The sliding window. <value>1 s to 24 h; default 5 min.</value></summary>
    [DurationRange("1s", "24h")]
    public TimeSpan Window { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Ready for this long, failures are forgotten. <value>1 s to 24 h; default 10 min.</value></summary>
    [DurationRange("1s", "24h")]
    public TimeSpan StableAfter { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>slow-retry (every 5 minutes) or hold. <value>Default slow-retry.</value></summary>
    public RestartExhausted OnExhausted { get; init; } = RestartExhausted.SlowRetry;
}

/// <summary>When a failing backend is left alone for a while.</summary>
internal sealed record BreakerOptions
{
    /// <summary>Share of failures that opens it. <value>0.01 to 1; default 0.5.</value></summary>
    [Range(0.01, 1.0)]
    public double FailureRatio { get; init; } = 0.5;

    /// <summary>Outcomes in the window before the ratio counts. <value>1 to 100,000; default 10.</value></summary>
    [Range(1, 100_000)]
    public int MinimumThroughput { get; init; } = 10;

    /// <summary>The sliding window. <value>1 s to 1 h; default 30 s.</value></summary>
    [DurationRange("1s", "1h")]
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>First time open; doubles to 60 s. <value>100 ms to 1 h; default 5 s.</value></summary>
    [DurationRange("100ms", "1h")]
    public TimeSpan BreakDuration { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>How often a failed request is tried again before its first byte, and whether a broken stream is continued after it.</summary>
internal sealed record RetryOptions
{
    /// <summary>Whether another backend says the rest of a plain text stream that broke. <value>Default: true for the kind llama-server, else false.</value></summary>
    public bool? RecoverStreams { get; init; }

    /// <summary>Tries in all, the first one included. <value>1 to 10; default 2.</value></summary>
    [Range(1, 10)]
    public int MaxAttempts { get; init; } = 2;

    /// <summary>Retries as a share of the requests in flight. <value>0 to 1; default 0.2.</value></summary>
    [Range(0.0, 1.0)]
    public double BudgetRatio { get; init; } = 0.2;
}
