using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace LlmGateway.Gateway.Models;

/// <summary>The whole configuration file.</summary>
internal sealed record GatewayOptions
{
    /// <summary>Where editors find the schema; the gateway ignores it.</summary>
    [JsonPropertyName("$schema")]
    public string? Schema { get; init; }

    /// <summary>The data listener: where clients send inference requests.</summary>
    public DataPlaneOptions Gateway { get; init; } = new();

    /// <summary>The management listener: health, metrics, status, dashboard, commands.</summary>
    public ManagementOptions Management { get; init; } = new();

    /// <summary>How requests wait for a slot, for all models; each model may change it.</summary>
    public QueueOptions Queue { get; init; } = new();

    /// <summary>How much memory local models may take together.</summary>
    public MemoryOptions Memory { get; init; } = new();

    /// <summary>API keys. With none, a loopback listener asks for none.</summary>
    public IReadOnlyList<KeyOptions> Keys { get; init; } = [];

    /// <summary>The models by name: letters, digits and <c>. _ - : / @</c>.</summary>
    public IReadOnlyDictionary<string, ModelOptions> Models { get; init; } = new Dictionary<string, ModelOptions>();
}

/// <summary>The data listener.</summary>
internal sealed record DataPlaneOptions
{
    /// <summary>One URL or a list of them. <value>Default <c>http://127.0.0.1:8080</c>; port 0 lets the system choose.</value></summary>
    [JsonConverter(typeof(OneOrManyConverter))]
    public IReadOnlyList<string> Listen { get; init; } = ["http://127.0.0.1:8080"];

    /// <summary>Certificate and key for <c>https://</c> listeners, PEM files.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>Host names that requests may name besides the loopback names and the listener's own address. <value><c>*</c> allows all.</value></summary>
    public IReadOnlyList<string> Hosts { get; init; } = [];

    /// <summary>Browser origins that may call the gateway, such as <c>http://localhost:3000</c>. <value>Default none.</value></summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>Largest request body. <value>1 KiB to 1 GiB; default 32 MiB.</value></summary>
    [SizeRange("1KiB", "1GiB")]
    public ByteSize MaxRequestBody { get; init; } = ByteSize.FromMiB(32);

    /// <summary>From the first bytes of a request body to its last. <value>1 s to 24 h; default 120 s.</value></summary>
    [DurationRange("1s", "24h")]
    public TimeSpan BodyTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Open client connections; one more is closed at once. <value>1 to 1,000,000; default 8192.</value></summary>
    [Range(1, 1_000_000)]
    public int MaxConnections { get; init; } = 8192;

    /// <summary>Requests in the gateway at once, queued ones included. <value>1 to 1,000,000; default 4096.</value></summary>
    [Range(1, 1_000_000)]
    public int MaxConcurrentRequests { get; init; } = 4096;

    /// <summary>Lets clients name images, sounds and files by address: llama-server fetches them, from wherever it can reach. <value>Default true.</value></summary>
    public bool AllowRemoteMedia { get; init; } = true;

    /// <summary>How long running and queued requests may take to finish at shutdown. <value>0 s to 24 h; default 60 s.</value></summary>
    [DurationRange("0s", "24h")]
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Folder for what outlives a run: the management token, logs. <value>Default: a folder below the user's state home.</value></summary>
    public string? StateDirectory { get; init; }

    /// <summary>What a log line is. <value><c>text</c> (default), or <c>json</c>: one object a line, with the trace id and the request id.</value></summary>
    public LogFormat LogFormat { get; init; }

    /// <summary>Who carries requests to the backends. <value><c>lean</c> (default): the gateway's own client, and YARP for remotes over TLS; or <c>yarp</c>: YARP for all, which costs more.</value></summary>
    public RelayKind Relay { get; init; }

    /// <summary>Allows a listener that other machines reach although no API key is configured.</summary>
    public bool Insecure { get; init; }
}

/// <summary>Who carries requests to the backends.</summary>
internal enum RelayKind
{
    /// <summary>The gateway's own client, and YARP's forwarder for remotes over TLS.</summary>
    Lean,

    /// <summary>YARP's forwarder over .NET's own HTTP client.</summary>
    Yarp,
}

/// <summary>What a line of the log is.</summary>
internal enum LogFormat
{
    /// <summary>For people.</summary>
    Text,

    /// <summary>For machines.</summary>
    Json,
}

/// <summary>PEM files of a TLS listener, read again when they change.</summary>
internal sealed record TlsOptions
{
    /// <summary>Certificate chain, PEM.</summary>
    public string? Certificate { get; init; }

    /// <summary>Private key, PEM.</summary>
    public string? Key { get; init; }
}

/// <summary>The management listener.</summary>
internal sealed record ManagementOptions
{
    /// <summary>One URL or a list of them. <value>Default <c>http://127.0.0.1:9090</c>.</value></summary>
    [JsonConverter(typeof(OneOrManyConverter))]
    public IReadOnlyList<string> Listen { get; init; } = ["http://127.0.0.1:9090"];

    /// <summary>Host names that requests may name besides the loopback names and the listener's own address.</summary>
    public IReadOnlyList<string> Hosts { get; init; } = [];

    /// <summary>File that holds the management token; made with mode 0600 when absent. <value>Default <c>management.token</c> in the state directory.</value></summary>
    public string? TokenFile { get; init; }

    /// <summary>Refuses every command; reading stays.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Clients that may watch at once: event streams, dashboards, followed logs. <value>1 to 10,000; default 64.</value></summary>
    [Range(1, 10_000)]
    public int MaxStreams { get; init; } = 64;
}

/// <summary>How requests wait for a slot. In a model's section an absent value means the one of the root section.</summary>
internal sealed record QueueOptions
{
    /// <summary>Most requests that may wait for one model. <value>0 to 1,000,000; default 32 × the model's slots.</value></summary>
    [Range(0, 1_000_000)]
    public int? MaxDepth { get; init; }

    /// <summary>Most requests of one key that may wait for one model. <value>0 to 1,000,000; default 4 × the model's slots; off without keys.</value></summary>
    [Range(0, 1_000_000)]
    public int? MaxDepthPerKey { get; init; }

    /// <summary>Bytes of bodies queued or kept for a retry. <value>1 MiB to 64 GiB; default 256 MiB.</value></summary>
    [SizeRange("1MiB", "64GiB")]
    public ByteSize? MaxBytes { get; init; }

    /// <summary>Longest wait for a slot while a backend is ready. <value>1 ms to 24 h; default 60 s.</value></summary>
    [DurationRange("1ms", "24h")]
    public TimeSpan? Timeout { get; init; }

    /// <summary>Longest wait while no backend is ready but one is coming; a clock of its own. <value>0 s to 24 h; default 120 s.</value></summary>
    [DurationRange("0s", "24h")]
    public TimeSpan? HoldWhileLoading { get; init; }
}

/// <summary>How much memory local models may take together.</summary>
internal sealed record MemoryOptions
{
    /// <summary>Bytes for all local models: of the GPUs' memory if their driver tells it, spread over them by their sizes, else of the machine's. <value>Default: <see cref="Share"/> of it.</value></summary>
    [SizeRange("1MiB", "1PiB")]
    public ByteSize? Budget { get; init; }

    /// <summary>Bytes for all local models on each GPU, in the driver's order; <see cref="Budget"/> is then the machine's. <value>Default: what the driver tells.</value></summary>
    public IReadOnlyList<ByteSize> Gpus { get; init; } = [];

    /// <summary>Share of the machine's memory. <value>0.05 to 1; default 0.8.</value></summary>
    [Range(0.05, 1.0)]
    public double Share { get; init; } = 0.8;
}

/// <summary>One API key, by its hash: <c>llm-gateway key NAME</c> makes one.</summary>
internal sealed record KeyOptions
{
    /// <summary>The name that logs, metrics and status show.</summary>
    public string Name { get; init; } = "";

    /// <summary><c>sha256:</c> and the 64 hex digits of the SHA-256 of the secret's UTF-8 bytes.</summary>
    public string Hash { get; init; } = "";

    /// <summary>Models (or aliases) that the key may use. <value>Default <c>*</c>: all.</value></summary>
    public IReadOnlyList<string> Models { get; init; } = ["*"];

    /// <summary>Highest priority that the key's requests may have, and their default.</summary>
    public Priority Priority { get; init; } = Priority.Normal;

    /// <summary>Share against other keys of the same priority. <value>1 to 1000; default 1.</value></summary>
    [Range(1, 1000)]
    public int Weight { get; init; } = 1;

    /// <summary>Requests at once. <value>1 to 1,000,000; default no limit.</value></summary>
    [Range(1, 1_000_000)]
    public int? MaxConcurrent { get; init; }

    /// <summary>Requests a minute. <value>1 to 100,000,000; default no limit.</value></summary>
    [Range(1, 100_000_000)]
    public int? RequestsPerMinute { get; init; }

    /// <summary>Tokens a minute, prompt and completion. <value>1 to 2,000,000,000; default no limit.</value></summary>
    [Range(1, 2_000_000_000)]
    public int? TokensPerMinute { get; init; }

    /// <summary>May reach the rest of a backend through <c>/upstream/</c>.</summary>
    public bool Admin { get; init; }
}

/// <summary>Bands of the queue, highest first.</summary>
internal enum Priority
{
    High,
    Normal,
    Low,
    Batch,
}

internal static class PriorityLabels
{
    /// <summary>The band's name in metrics and status.</summary>
    public static string ToLabel(this Priority priority) => priority switch
    {
        Priority.High => "high",
        Priority.Low => "low",
        Priority.Batch => "batch",
        _ => "normal",
    };
}
