using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Models;

/// <summary>What differs between two configurations. Pure: it decides what a reload touches.</summary>
/// <param name="Added">Models that are new.</param>
/// <param name="Removed">Models that are gone.</param>
/// <param name="Replaced">Models whose processes or servers must become others, one after another.</param>
/// <param name="Adjusted">Models of which only the gateway's own handling changes: limits, names, timeouts, the number of replicas.</param>
/// <param name="Unchanged">Models that stay as they are.</param>
/// <param name="Sections">Changed sections beside the models that take effect at once.</param>
/// <param name="NeedsRestart">Key paths whose change takes effect at the gateway's next start only.</param>
internal sealed record CatalogueChange(
    ImmutableArray<string> Added,
    ImmutableArray<string> Removed,
    ImmutableArray<string> Replaced,
    ImmutableArray<string> Adjusted,
    ImmutableArray<string> Unchanged,
    ImmutableArray<string> Sections,
    ImmutableArray<string> NeedsRestart)
{
    /// <summary>Options of the data listener that are looked up at each use.</summary>
    private static readonly string[] LiveGatewayOptions =
        [nameof(DataPlaneOptions.MaxRequestBody), nameof(DataPlaneOptions.MaxConcurrentRequests), nameof(DataPlaneOptions.DrainTimeout)];

    /// <summary>True when nothing differs.</summary>
    public bool IsEmpty => Added.IsEmpty && Removed.IsEmpty && Replaced.IsEmpty && Adjusted.IsEmpty && Sections.IsEmpty && NeedsRestart.IsEmpty;

    public static CatalogueChange Between(ModelCatalogue before, ModelCatalogue after)
    {
        var old = before.Models.ToDictionary(model => model.Name);
        var kept = after.Models.Where(model => old.ContainsKey(model.Name)).ToArray();
        var replaced = kept.Where(model => IsReplaced(old[model.Name], model)).Select(model => model.Name).ToImmutableArray();
        var adjusted = kept.Where(model => !replaced.Contains(model.Name) && !IsSame(old[model.Name], model)).Select(model => model.Name).ToImmutableArray();
        return new(
            [.. after.Models.Where(model => !old.ContainsKey(model.Name)).Select(model => model.Name)],
            [.. before.Models.Where(model => after.Models.All(other => other.Name != model.Name)).Select(model => model.Name)],
            replaced,
            adjusted,
            [.. kept.Select(model => model.Name).Except(replaced).Except(adjusted)],
            [.. ChangedSections(before.Options, after.Options)],
            [.. Fixed(before.Options, after.Options)]);
    }

    /// <summary>One line for each thing that differs, for a person.</summary>
    public IEnumerable<string> Describe() =>
    [
        .. Added.Select(name => $"+ {name}: new"),
        .. Removed.Select(name => $"- {name}: drains and ends"),
        .. Replaced.Select(name => $"~ {name}: its backends are replaced one after another"),
        .. Adjusted.Select(name => $"~ {name}: adjusted, its backends stay"),
        .. Unchanged.Select(name => $"  {name}: unchanged"),
        .. Sections.Select(section => $"~ {section}: takes effect at once"),
        .. NeedsRestart.Select(path => $"! {path}: takes effect at the gateway's next start only"),
    ];

    private static bool IsReplaced(Model before, Model after) =>
        before.IsLocal != after.IsLocal
        || (after.IsLocal ? before.Revision != after.Revision : !before.Options.Remotes.SequenceEqual(after.Options.Remotes));

    private static IEnumerable<string> ChangedSections(GatewayOptions before, GatewayOptions after)
    {
        (string Name, object Before, object After)[] sections =
            [(nameof(after.Queue), before.Queue, after.Queue), (nameof(after.Memory), before.Memory, after.Memory), (nameof(after.Keys), before.Keys, after.Keys)];
        return sections.Where(section => !IsSame(section.Before, section.After)).Select(section => section.Name)
            .Concat(Differing(before.Gateway, after.Gateway).Where(LiveGatewayOptions.Contains).Select(name => $"Gateway:{name}"));
    }

    private static IEnumerable<string> Fixed(GatewayOptions before, GatewayOptions after) =>
    [
        .. Differing(before.Gateway, after.Gateway).Except(LiveGatewayOptions).Select(name => $"Gateway:{name}"),
        .. Differing(before.Management, after.Management).Select(name => $"Management:{name}"),
        .. before.Queue.MaxBytes != after.Queue.MaxBytes ? ["Queue:MaxBytes"] : Array.Empty<string>(),
    ];

    private static IEnumerable<string> Differing<T>(T before, T after)
        where T : notnull
    {
        var (one, other) = (Json(before).AsObject(), Json(after).AsObject());
        return one.Select(pair => pair.Key).Where(key => !JsonNode.DeepEquals(one[key], other[key]));
    }

    private static bool IsSame(Model before, Model after) => before.Replicas == after.Replicas && IsSame(before.Options, after.Options);

    private static bool IsSame(object before, object after) => JsonNode.DeepEquals(Json(before), Json(after));

    private static JsonNode Json(object options) => System.Text.Json.JsonSerializer.SerializeToNode(options, options.GetType(), OptionsJson.Serializer)!;
}
