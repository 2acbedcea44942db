using System.Collections.Frozen;
using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Models;

/// <summary>The configured models by name and alias: immutable, replaced as a whole by a reload.</summary>
internal sealed class ModelCatalogue
{
    /// <summary>Share of the models' memory that prompt caches may take, and the bounds of one process's.</summary>
    private const double CacheShare = 0.125;
    private const long LeastCacheMiB = 64;
    private const long MostCacheMiB = 8192;

    private readonly FrozenDictionary<string, Model> _byName;

    public ModelCatalogue(GatewayOptions options)
    {
        Options = options;
        Models = [.. options.Models.Select(pair => new Model(pair.Key, pair.Value, options.Queue))];
        _byName = Models.SelectMany(model => model.Options.Aliases.Prepend(model.Name).Select(name => (name, model)))
            .ToFrozenDictionary(pair => pair.name, pair => pair.model, StringComparer.Ordinal);
        LocalReplicas = Models.Where(model => model.IsLocal).Sum(model => model.Options.Replicas);
    }

    /// <summary>Where the built-in simulator lies: beside the gateway.</summary>
    public static string SimulatorPath { get; } =
        Path.Combine(AppContext.BaseDirectory, "simulator", OperatingSystem.IsWindows() ? "llama-simulator.exe" : "llama-simulator");

    /// <summary>What it was built from.</summary>
    public GatewayOptions Options { get; }

    /// <summary>In the order of the file.</summary>
    public ImmutableArray<Model> Models { get; }

    /// <summary>Processes of all local models together.</summary>
    public int LocalReplicas { get; }

    /// <summary>The model that a request means when it names none: the only one.</summary>
    public Model? Sole => Models.Length == 1 ? Models[0] : null;

    /// <summary>The model of that name or alias, or null.</summary>
    public Model? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>What the process manager keeps alive for a local model, with its share of what all local replicas have in common.</summary>
    /// <param name="model">One of <see cref="Models"/>.</param>
    /// <param name="simulator">Path of the built-in simulator.</param>
    public ReplicaSetOptions ToReplicaSet(Model model, string simulator)
    {
        var memory = Options.Memory.Budget?.Bytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes * Options.Memory.Share;
        var cache = (long)(memory * CacheShare / Math.Max(1, LocalReplicas)) >> 20;
        return model.ToReplicaSet(LocalReplicas, simulator) with
        {
            ReplicasBefore = Models.TakeWhile(other => other != model).Where(other => other.IsLocal).Sum(other => other.Options.Replicas),
            CacheRamMiB = (int)Math.Clamp(cache, LeastCacheMiB, MostCacheMiB),
            DrainTimeout = Options.Gateway.DrainTimeout,
        };
    }
}
