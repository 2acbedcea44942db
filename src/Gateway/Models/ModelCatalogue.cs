using System.Collections.Frozen;
using System.Collections.Immutable;

namespace LlmGateway.Gateway.Models;

/// <summary>The configured models by name and alias: immutable, replaced as a whole by a reload.</summary>
internal sealed class ModelCatalogue
{
    private readonly FrozenDictionary<string, Model> _byName;

    public ModelCatalogue(GatewayOptions options)
    {
        Models = [.. options.Models.Select(pair => new Model(pair.Key, pair.Value, options.Queue))];
        _byName = Models.SelectMany(model => model.Options.Aliases.Prepend(model.Name).Select(name => (name, model)))
            .ToFrozenDictionary(pair => pair.name, pair => pair.model, StringComparer.Ordinal);
        LocalReplicas = Models.Where(model => model.IsLocal).Sum(model => model.Options.Replicas);
    }

    /// <summary>In the order of the file.</summary>
    public ImmutableArray<Model> Models { get; }

    /// <summary>Processes of all local models together.</summary>
    public int LocalReplicas { get; }

    /// <summary>The model that a request means when it names none: the only one.</summary>
    public Model? Sole => Models.Length == 1 ? Models[0] : null;

    /// <summary>The model of that name or alias, or null.</summary>
    public Model? Find(string name) => _byName.GetValueOrDefault(name);
}
