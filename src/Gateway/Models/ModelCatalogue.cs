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

    /// <summary>How many processes models have where it is not as many as configured.</summary>
    private readonly ImmutableDictionary<string, int> _replicas;

    public ModelCatalogue(GatewayOptions options)
        : this(options, ImmutableDictionary<string, int>.Empty)
    {
    }

    private ModelCatalogue(GatewayOptions options, ImmutableDictionary<string, int> replicas)
    {
        (Options, _replicas) = (options, replicas);
        Models = [.. options.Models.Select(pair => new Model(pair.Key, pair.Value, options.Queue, replicas.TryGetValue(pair.Key, out var count) ? count : null))];
        _byName = Models.SelectMany(model => model.Options.Aliases.Prepend(model.Name).Select(name => (name, model)))
            .ToFrozenDictionary(pair => pair.name, pair => pair.model, StringComparer.Ordinal);
        LocalReplicas = Models.Where(model => model.IsLocal).Sum(model => Math.Max(model.Replicas, model.MostReplicas));
    }

    /// <summary>Where the built-in simulator lies: beside the gateway.</summary>
    public static string SimulatorPath { get; } =
        Path.Combine(AppContext.BaseDirectory, "simulator", OperatingSystem.IsWindows() ? "llama-simulator.exe" : "llama-simulator");

    /// <summary>What it was built from.</summary>
    public GatewayOptions Options { get; }

    /// <summary>In the order of the file.</summary>
    public ImmutableArray<Model> Models { get; }

    /// <summary>Processes of all local models together, with all that they may have.</summary>
    public int LocalReplicas { get; }

    /// <summary>The model that a request means when it names none: the only one.</summary>
    public Model? Sole => Models.Length == 1 ? Models[0] : null;

    /// <summary>The model of that name or alias, or null.</summary>
    public Model? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The same with another number of processes of one model.</summary>
    public ModelCatalogue WithReplicas(string model, int replicas) =>
        new(Options, replicas == Options.Models[model].Replicas ? _replicas.Remove(model) : _replicas.SetItem(model, replicas));

    /// <summary>The same, as it comes after another one: models whose load says how many processes they have keep them, within their new bounds.</summary>
    public ModelCatalogue After(ModelCatalogue before)
    {
        var next = this;
        foreach (var model in Models.Where(model => model.IsScaled))
        {
            if (before.Models.FirstOrDefault(known => known.Name == model.Name) is { IsScaled: true } known)
            {
                next = next.WithReplicas(model.Name, Math.Clamp(known.Replicas, model.Options.Replicas, model.MostReplicas));
            }
        }

        return next;
    }

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
