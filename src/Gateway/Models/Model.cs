using System.Security.Cryptography;
using System.Text.Json;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Models;

/// <summary>How requests for one model wait, with every default filled in.</summary>
/// <param name="MaxDepth">Most requests that may wait.</param>
/// <param name="MaxDepthPerKey">Most requests of one API key that may wait.</param>
/// <param name="MaxBytes">Most bytes of bodies held.</param>
/// <param name="Timeout">Longest wait while a backend is ready.</param>
/// <param name="HoldWhileLoading">Longest wait while none is ready but one is coming.</param>
internal sealed record QueueLimits(int MaxDepth, int MaxDepthPerKey, long MaxBytes, TimeSpan Timeout, TimeSpan HoldWhileLoading);

/// <summary>One model as it is built from its options: immutable.</summary>
internal sealed class Model
{
    private string? _revision;

    /// <param name="name">Its name.</param>
    /// <param name="options">Its options.</param>
    /// <param name="rootQueue">What holds where its own section says nothing.</param>
    /// <param name="replicas">Processes that it has now, when they are not as many as configured.</param>
    public Model(string name, ModelOptions options, QueueOptions rootQueue, int? replicas = null)
    {
        Name = name;
        Options = options;
        Replicas = replicas ?? options.Replicas;
        LargestBackend = options.Kind == ModelKind.Remote ? options.Remotes.Max(remote => remote.Slots) : options.Slots;
        ConfiguredSlots = options.Kind == ModelKind.Remote ? options.Remotes.Sum(remote => remote.Slots) : Math.Max(Replicas, MostReplicas) * options.Slots;
        Queue = new QueueLimits(
            options.Queue.MaxDepth ?? rootQueue.MaxDepth ?? 32 * ConfiguredSlots,
            options.Queue.MaxDepthPerKey ?? rootQueue.MaxDepthPerKey ?? 4 * ConfiguredSlots,
            (options.Queue.MaxBytes ?? rootQueue.MaxBytes ?? ByteSize.FromMiB(256)).Bytes,
            options.Queue.Timeout ?? rootQueue.Timeout ?? TimeSpan.FromSeconds(60),
            options.Queue.HoldWhileLoading ?? rootQueue.HoldWhileLoading ?? TimeSpan.FromSeconds(120));
        Rewrite = BodyRewrite.Of(options);
    }

    public string Name { get; }

    /// <summary>Names what a process of this model is started from: another one needs other processes.</summary>
    public string Revision => _revision ??= RevisionOf(Options);

    public ModelOptions Options { get; }

    public QueueLimits Queue { get; }

    /// <summary>What happens to its requests' bodies, or null: they stay as they are.</summary>
    public BodyRewrite? Rewrite { get; }

    /// <summary>Processes that it is to have now: as configured, as an operator has said, or as its load needs.</summary>
    public int Replicas { get; }

    /// <summary>Processes that it may have at most.</summary>
    public int MostReplicas => Math.Max(Options.Replicas, Options.Scale.MaxReplicas ?? 0);

    /// <summary>True when the number of its processes follows its load.</summary>
    public bool IsScaled => IsLocal && MostReplicas > Options.Replicas;

    /// <summary>Slots of all its backends together, with all the processes that it may have.</summary>
    public int ConfiguredSlots { get; }

    /// <summary>Slots of its largest backend: the most that one request can take.</summary>
    public int LargestBackend { get; }

    /// <summary>True when another backend may say the rest of a broken stream. Only of llama-server it is known that it can.</summary>
    public bool RecoversStreams => Options.Retry.RecoverStreams ?? Options.Kind == ModelKind.LlamaServer;

    public bool IsLocal => Options.Kind != ModelKind.Remote;

    /// <summary>What the process manager keeps alive for it.</summary>
    /// <param name="localReplicas">All local replicas of the gateway: they share the cores.</param>
    /// <param name="simulator">Path of the built-in simulator.</param>
    public ReplicaSetOptions ToReplicaSet(int localReplicas, string simulator)
    {
        var kind = Options.Kind switch
        {
            ModelKind.LlamaServer => ReplicaKind.LlamaServer,
            ModelKind.Simulator => ReplicaKind.Simulator,
            ModelKind.Command => ReplicaKind.Command,
            _ => throw new InvalidOperationException($"{Name} is remote"),
        };
        var probeKind = kind == ReplicaKind.Command ? ProbeKind.Tcp : ProbeKind.Http;
        return new ReplicaSetOptions
        {
            Model = Name,
            Revision = Revision,
            Kind = kind,
            Executable = kind == ReplicaKind.Simulator ? simulator : Options.Executable ?? "llama-server",
            Args = Options.Args,
            Environment = Options.Environment,
            WorkingDirectory = Options.WorkingDirectory,
            Replicas = Replicas,
            Slots = Options.Slots,
            Transport = Options.Transport,
            FirstPort = Options.Ports.First,
            LastPort = Options.Ports.Last,
            CpuAffinity = Options.CpuAffinity,
            LocalReplicas = Math.Max(1, localReplicas),
            Startup = Probe(Options.Probes.Startup, ReplicaSetOptions.DefaultStartup with { Kind = probeKind }),
            Readiness = Readiness(probeKind),
            Liveness = Liveness(kind),
            FirstToken = Options.Timeouts.FirstToken,
            BetweenTokens = Options.Timeouts.BetweenTokens,
            Restart = new RestartOptions
            {
                Policy = Options.Restart.Policy,
                InitialBackoff = Options.Restart.InitialBackoff,
                MaxBackoff = Options.Restart.MaxBackoff,
                MaxRestarts = Options.Restart.MaxRestarts,
                Window = Options.Restart.Window,
                StableAfter = Options.Restart.StableAfter,
                OnExhausted = Options.Restart.OnExhausted,
            },
            StopTimeout = Options.StopTimeout,
        };
    }

    /// <summary>The readiness probe, with the defaults for a backend that is asked by <paramref name="kind"/>.</summary>
    public ProbeOptions Readiness(ProbeKind kind) => Probe(Options.Probes.Readiness, new() { Kind = kind, RecoveryThreshold = ReplicaSetOptions.DefaultRecovery });

    /// <summary>Of all options but those that are the gateway's own business: whoever adds one need not remember this list to be safe.</summary>
    private static string RevisionOf(ModelOptions options)
    {
        var defaults = new ModelOptions();
        var process = options with
        {
            Aliases = defaults.Aliases,
            Replicas = defaults.Replicas,
            Scale = defaults.Scale,
            KeepPriority = defaults.KeepPriority,
            Remotes = defaults.Remotes,
            Load = defaults.Load,
            IdleTimeout = null,
            Group = null,
            MemoryBytes = null,
            Queue = defaults.Queue,
            Timeouts = defaults.Timeouts,
            Breaker = defaults.Breaker,
            Retry = defaults.Retry,
            SlowStart = defaults.SlowStart,
            SetParams = defaults.SetParams,
            StripParams = defaults.StripParams,
        };
        return Convert.ToHexStringLower(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(process, OptionsJson.Serializer)));
    }

    /// <summary>The liveness probe: progress where the server tells of it; of another program only what is configured.</summary>
    private ProbeOptions? Liveness(ReplicaKind kind) => (kind, Options.Probes.Liveness) switch
    {
        (ReplicaKind.Command, null) => null,
        (ReplicaKind.Command, { } section) => Probe(section, ReplicaSetOptions.DefaultLiveness with { Kind = ProbeKind.Tcp }),
        (_, var section) => Probe(section, ReplicaSetOptions.DefaultLiveness),
    };

    private static ProbeOptions Probe(ProbeSection? section, ProbeOptions defaults) => section is null ? defaults : new ProbeOptions
    {
        Kind = section.Kind ?? defaults.Kind,
        Path = section.Path ?? defaults.Path,
        Port = section.Port ?? defaults.Port,
        Scheme = section.Scheme ?? defaults.Scheme,
        Headers = section.Headers ?? defaults.Headers,
        Command = section.Command ?? defaults.Command,
        InitialDelay = section.InitialDelay ?? defaults.InitialDelay,
        Period = section.Period ?? defaults.Period,
        FirstPeriod = section.Period ?? defaults.FirstPeriod,
        Timeout = section.Timeout ?? defaults.Timeout,
        SuccessThreshold = section.SuccessThreshold ?? defaults.SuccessThreshold,
        RecoveryThreshold = section.SuccessThreshold ?? defaults.RecoveryThreshold,
        FailureThreshold = section.FailureThreshold ?? defaults.FailureThreshold,
        StallTimeout = section.StallTimeout ?? defaults.StallTimeout,
    };
}
