namespace LlmGateway.Probes;

/// <summary>How a probe asks.</summary>
public enum ProbeKind
{
    /// <summary>A GET; status 200 to 399 passes.</summary>
    Http,

    /// <summary>A TCP (or Unix socket) connect.</summary>
    Tcp,

    /// <summary>A command, started without a shell; exit code 0 passes.</summary>
    Exec,

    /// <summary>Liveness only: work in flight must make progress; see the contract's section 3.</summary>
    Progress,
}

/// <summary>One probe of one backend: what it asks, how often, and how many answers make a verdict.</summary>
public sealed record ProbeOptions
{
    /// <summary>How the probe asks.</summary>
    public ProbeKind Kind { get; init; } = ProbeKind.Http;

    /// <summary>HTTP: absolute path on the backend. <value>Default <c>/health</c>.</value></summary>
    public string Path { get; init; } = "/health";

    /// <summary>HTTP and TCP: another port of the same host. <value>Default null: the backend's own.</value></summary>
    public int? Port { get; init; }

    /// <summary>HTTP: <c>http</c> or <c>https</c>. <value>Default null: the backend's own.</value></summary>
    public string? Scheme { get; init; }

    /// <summary>HTTP: extra request headers.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>Exec: program and arguments.</summary>
    public IReadOnlyList<string> Command { get; init; } = [];

    /// <summary>Wait after the process starts before the first try. <value>0 s to 1 h.</value></summary>
    public TimeSpan InitialDelay { get; init; }

    /// <summary>Time between the starts of two tries, jittered by 10 %. <value>50 ms to 1 h.</value></summary>
    public TimeSpan Period { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The same between the first two; each next is half as long again, up to <see cref="Period"/>: what has just been started is soon up, or not for long. <value>10 ms to the period; default null: the period.</value></summary>
    public TimeSpan? FirstPeriod { get; init; }

    /// <summary>Longest wait for one answer. <value>10 ms to 5 min.</value></summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Passes in a row that turn the verdict to healthy. <value>1 to 100.</value></summary>
    public int SuccessThreshold { get; init; } = 1;

    /// <summary>The same once the verdict has been unhealthy: one pass says little of a server that flaps. <value>1 to 100; default null: <see cref="SuccessThreshold"/>.</value></summary>
    public int? RecoveryThreshold { get; init; }

    /// <summary>Failures in a row that turn the verdict to unhealthy. <value>1 to 100.</value></summary>
    public int FailureThreshold { get; init; } = 3;

    /// <summary>Startup: longest time without progress (CPU, memory, bytes read, log lines). Progress: longest time without any while work is in flight.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(600);
}
