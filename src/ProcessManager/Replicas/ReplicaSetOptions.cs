using LlmGateway.Probes;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>What kind of program serves a model; it decides which arguments are added and which probes are the default.</summary>
public enum ReplicaKind
{
    /// <summary>llama.cpp's llama-server: the flags that make it a good backend are added when absent.</summary>
    LlamaServer,

    /// <summary>The built-in stand-in, started with llama-server's own command line.</summary>
    Simulator,

    /// <summary>Any other program: nothing is added; <c>{host}</c> and <c>{port}</c> are there to use.</summary>
    Command,
}

/// <summary>How a replica's server is reached.</summary>
public enum ReplicaTransport
{
    /// <summary>TCP on 127.0.0.1.</summary>
    Tcp,

    /// <summary>A Unix socket in a folder that only we may enter.</summary>
    Unix,
}

/// <summary>When an ended process is started again.</summary>
public enum RestartPolicyKind
{
    /// <summary>Whenever it ends and nobody asked it to.</summary>
    Always,

    /// <summary>Only after a failure: exit code 0 stays down.</summary>
    OnFailure,

    /// <summary>Not by itself.</summary>
    Never,
}

/// <summary>What happens when the restart budget is spent.</summary>
public enum RestartExhausted
{
    /// <summary>Try again every 5 minutes.</summary>
    SlowRetry,

    /// <summary>Wait for a person.</summary>
    Hold,
}

/// <summary>How often and how fast an ended process is started again.</summary>
public sealed record RestartOptions
{
    /// <summary>When to restart at all. <value>Default always.</value></summary>
    public RestartPolicyKind Policy { get; init; } = RestartPolicyKind.Always;

    /// <summary>First delay; it doubles with each failure in a row, ± 25 %. <value>10 ms to 1 h; default 1 s.</value></summary>
    public TimeSpan InitialBackoff { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest delay. <value>At least <see cref="InitialBackoff"/>; default 60 s.</value></summary>
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Restarts allowed in <see cref="Window"/>: 3 means at most 4 starts. <value>0 to 1000; default 5.</value></summary>
    public int MaxRestarts { get; init; } = 5;

    /// <summary>The sliding window of the budget. <value>1 s to 24 h; default 5 min.</value></summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Ready for this long, delay and budget start anew. <value>1 s to 24 h; default 10 min.</value></summary>
    public TimeSpan StableAfter { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>What happens when the budget is spent. <value>Default slow-retry, every 5 minutes.</value></summary>
    public RestartExhausted OnExhausted { get; init; } = RestartExhausted.SlowRetry;
}

/// <summary>Keep <see cref="Replicas"/> processes of this command alive.</summary>
public sealed record ReplicaSetOptions
{
    /// <summary>The model's name: <c>{model}</c> in arguments, <c>--alias</c> of llama-server.</summary>
    public required string Model { get; init; }

    /// <summary>Names what a process is started from: <see cref="IReplicaSet.ApplyAsync"/> replaces the replicas of another revision, and leaves the others alone.</summary>
    public string Revision { get; init; } = "";

    /// <summary>What kind of program it is.</summary>
    public required ReplicaKind Kind { get; init; }

    /// <summary>A path, or a name that is looked up in PATH.</summary>
    public required string Executable { get; init; }

    /// <summary>Arguments, passed one by one and never through a shell; <c>{host} {port} {slots} {model} {replica}</c> are replaced.</summary>
    public IReadOnlyList<string> Args { get; init; } = [];

    /// <summary>Environment variables to add, with the same replacements; a null value removes one.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();

    /// <summary>Working directory; null is the gateway's own.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Processes to keep. <value>0 to 256.</value></summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Parallel slots of each process; null leaves it to the arguments or the server. <value>1 to 1024.</value></summary>
    public int? Slots { get; init; }

    /// <summary>TCP or Unix socket.</summary>
    public ReplicaTransport Transport { get; init; }

    /// <summary>First port of the range that addresses are taken from.</summary>
    public int FirstPort { get; init; } = 18100;

    /// <summary>Last port of the range, inclusive.</summary>
    public int LastPort { get; init; } = 18199;

    /// <summary>All local replicas of the gateway that share this machine's cores: <c>--threads</c> becomes cores divided by this.</summary>
    public int LocalReplicas { get; init; } = 1;

    /// <summary>Keeps each process on cores of its own (Linux): the machine's are divided among <see cref="LocalReplicas"/>. <value>Default off.</value></summary>
    public bool CpuAffinity { get; init; }

    /// <summary>Local replicas that have their cores before this set's first one.</summary>
    public int ReplicasBefore { get; init; }

    /// <summary>Share of the machine's memory for one process's prompt cache (<c>--cache-ram</c>), in MiB; null leaves the server's default.</summary>
    public int? CacheRamMiB { get; init; }

    /// <summary>Gates the others; decides when the server is up. <value>Default <see cref="DefaultStartup"/>; for <see cref="ReplicaKind.Command"/> a connect.</value></summary>
    public ProbeOptions Startup
    {
        get => field ?? DefaultStartup with { Kind = DefaultProbe };
        init;
    }

    /// <summary>Gates traffic; never ends a process. Null: none. <value>Default <c>/health</c> every 2 s; for <see cref="ReplicaKind.Command"/> a connect.</value></summary>
    public ProbeOptions? Readiness
    {
        get => ReferenceEquals(field, NotSet) ? new() { Kind = DefaultProbe, RecoveryThreshold = DefaultRecovery } : field;
        init;
    } = NotSet;

    /// <summary>Ends a hung process. Null: none. <value>Default <see cref="ProbeKind.Progress"/> every 5 s; for <see cref="ReplicaKind.Command"/> none.</value></summary>
    public ProbeOptions? Liveness
    {
        get => !ReferenceEquals(field, NotSet) ? field : Kind is ReplicaKind.Command ? null : DefaultLiveness;
        init;
    } = NotSet;

    /// <summary>Longest that a request may wait for its first token: as long as somebody does, a process that uses CPU is only busy. <value>Default 600 s.</value></summary>
    public TimeSpan FirstToken { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>Longest between two tokens; ten times this, and a process that uses CPU is no longer only busy. <value>Default 60 s.</value></summary>
    public TimeSpan BetweenTokens { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Passes in a row until a replica takes work again after it was not ready, when nothing else is said.</summary>
    public const int DefaultRecovery = 2;

    /// <summary>The startup probe when nothing else is said: <c>/health</c> every 500 ms, and sooner at first.</summary>
    public static ProbeOptions DefaultStartup { get; } = new() { Period = TimeSpan.FromMilliseconds(500), FirstPeriod = TimeSpan.FromMilliseconds(50) };

    /// <summary>The liveness probe of llama-server when nothing else is said.</summary>
    public static ProbeOptions DefaultLiveness { get; } = new()
    {
        Kind = ProbeKind.Progress,
        Period = TimeSpan.FromSeconds(5),
        Timeout = TimeSpan.FromSeconds(2),
        FailureThreshold = 6,
        StallTimeout = TimeSpan.FromSeconds(60),
    };

    /// <summary>When ended processes are started again.</summary>
    public RestartOptions Restart { get; init; } = new();

    /// <summary>How long running requests may take to finish before a process is ended. <value>0 s to 24 h.</value></summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>From SIGTERM to SIGKILL. <value>0 s to 10 min.</value></summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Tells "not given" from "none", for a default that depends on <see cref="Kind"/>.</summary>
    private static ProbeOptions NotSet { get; } = new();

    private ProbeKind DefaultProbe => Kind is ReplicaKind.Command ? ProbeKind.Tcp : ProbeKind.Http;
}
