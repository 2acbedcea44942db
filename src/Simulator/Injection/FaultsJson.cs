using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace LlmGateway.Simulator.Injection;

/// <summary>Enum members as <c>headers-only</c>.</summary>
internal sealed class KebabEnumConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.KebabCaseLower)
    where T : struct, Enum;

/// <summary>The faults as JSON, and partial updates of them.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(Faults))]
internal sealed partial class FaultsJson : JsonSerializerContext
{
    public static byte[] Write(Faults faults) => JsonSerializer.SerializeToUtf8Bytes(faults, Default.Faults);

    /// <summary>Members of <paramref name="update"/> replace those of <paramref name="faults"/>; null puts the default back.</summary>
    /// <exception cref="JsonException">Not an object, an unknown member or a wrong type.</exception>
    public static Faults Merge(Faults faults, JsonNode? update)
    {
        if (update is not JsonObject changes)
        {
            throw new JsonException("expected a JSON object");
        }

        var merged = JsonSerializer.SerializeToNode(faults, Default.Faults)!.AsObject();
        foreach (var (name, value) in changes)
        {
            if (value is null && merged.ContainsKey(name))
            {
                merged.Remove(name);
            }
            else
            {
                merged[name] = value?.DeepClone();
            }
        }

        return merged.Deserialize(Default.Faults)!;
    }
}
