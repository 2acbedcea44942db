namespace LlmGateway.Architecture.Tests.Rooms;

/// <summary>
/// One type that knows another: full names of both, and the namespaces they are in. An option is what a configuration is
/// made of: an options type or an enumeration.
/// </summary>
internal sealed record Arrow(string Type, string Namespace, string TargetType, string TargetNamespace, bool TargetIsOption = false)
{
    public override string ToString() => $"{Type} -> {TargetType}";
}

/// <summary>
/// Which room may know which. A room is a floor (LlmGateway.Probes) or, on the gateway's floor, a folder of it
/// (LlmGateway.Gateway.Scheduling); deeper folders belong to their room. Every room may know itself.
/// </summary>
internal sealed class RoomTable(IReadOnlyDictionary<string, string[]> mayKnow)
{
    private const string Prefix = "LlmGateway.";
    private const string RoomyFloor = "Gateway";

    /// <summary>Behind a room's name: only its options types and enumerations.</summary>
    public const string OnlyOptions = ":options";

    /// <summary>A sentence for each arrow that the table doesn't have, and for each namespace that is no room of it.</summary>
    public IEnumerable<string> Violations(IEnumerable<Arrow> arrows)
    {
        foreach (var arrow in arrows)
        {
            if (RoomOf(arrow.Namespace) is not { } room)
            {
                continue;
            }

            if (!mayKnow.TryGetValue(room, out var known))
            {
                yield return $"{arrow.Type} is in {room}, which is no room of the table";
            }
            else if (RoomOf(arrow.TargetNamespace) is { } target && target != room && !known.Contains(target)
                && !(arrow.TargetIsOption && known.Contains(target + OnlyOptions)))
            {
                yield return $"{room} must not know {target}: {arrow}";
            }
        }
    }

    /// <summary>The room of a namespace, or null when it isn't ours.</summary>
    public static string? RoomOf(string @namespace)
    {
        if (!@namespace.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return null;
        }

        var folders = @namespace[Prefix.Length..].Split('.');
        return folders[0] == RoomyFloor && folders.Length > 1 ? $"{RoomyFloor}.{folders[1]}" : folders[0];
    }
}
