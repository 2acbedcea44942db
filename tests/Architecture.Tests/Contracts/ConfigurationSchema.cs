using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>Makes the schema that editors use out of the options classes and their documentation: neither can drift from the other.</summary>
internal static partial class ConfigurationSchema
{
    private const string Duration = "^([0-9]+(\\\\.[0-9]+)?(ms|s|m|h)|[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\\\\.[0-9]+)?)$";
    private const string Size = "^[0-9]+(\\\\.[0-9]+)? *([KMGTP]iB|[kMGTP]B|B)?$";

    private static readonly XDocument Documentation = XDocument.Load(Path.ChangeExtension(typeof(GatewayOptions).Assembly.Location, ".xml"));

    public static string Generate()
    {
        var schema = OptionsJson.Serializer.GetJsonSchemaAsNode(typeof(GatewayOptions), new JsonSchemaExporterOptions
        {
            TreatNullObliviousAsNonNullable = true,
            TransformSchemaNode = (context, node) => Describe(context.PropertyInfo?.AttributeProvider as PropertyInfo, context.TypeInfo.Type, node),
        }).AsObject();
        schema.Insert(0, "$schema", "http://json-schema.org/draft-07/schema#");
        schema.Insert(1, "title", "LlmGateway configuration");

        // Editors accept // comments in this file; the pattern strings need no escaping beyond JSON's own.
        return schema.ToJsonString(new JsonSerializerOptions { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }) + "\n";
    }

    private static JsonNode Describe(PropertyInfo? property, Type type, JsonNode generated)
    {
        var isNullable = Nullable.GetUnderlyingType(type) is not null;
        var node = (Nullable.GetUnderlyingType(type) ?? type) switch
        {
            var t when t == typeof(TimeSpan) => Text(Duration, isNullable),
            var t when t == typeof(ByteSize) => Text(Size, isNullable, "integer"),
            var t when t == typeof(PortRange) => Text("^[0-9]+(-[0-9]+)?$", isNullable),
            var t when t == typeof(bool) => new JsonObject { ["type"] = "boolean" },
            var t when t == typeof(int) => Number("integer", isNullable),
            var t when t == typeof(double) => Number("number", isNullable),
            _ when property?.GetCustomAttribute<System.Text.Json.Serialization.JsonConverterAttribute>()?.ConverterType == typeof(OneOrManyConverter) =>
                JsonNode.Parse("""{ "anyOf": [ { "type": "string" }, { "type": "array", "items": { "type": "string" } } ] }""")!.AsObject(),
            _ => generated as JsonObject,
        };
        if (node is null)
        {
            return generated;
        }

        if (node["properties"] is JsonObject && type.Namespace == typeof(GatewayOptions).Namespace)
        {
            node["additionalProperties"] = false;
        }

        node.Remove("required");
        if (property is not null)
        {
            if (property.GetCustomAttribute<RangeAttribute>() is { } range)
            {
                node["minimum"] = JsonSerializer.SerializeToNode(range.Minimum);
                node["maximum"] = JsonSerializer.SerializeToNode(range.Maximum);
            }

            if (Summary(property) is { Length: > 0 } summary)
            {
                node["description"] = summary;
            }
        }

        return node;
    }

    private static JsonObject Text(string pattern, bool isNullable, string? also = null)
    {
        JsonNode?[] types = [JsonValue.Create("string"), also is null ? null : JsonValue.Create(also), isNullable ? JsonValue.Create("null") : null];
        types = [.. types.Where(type => type is not null)];
        return new JsonObject { ["type"] = types.Length == 1 ? types[0] : new JsonArray(types), ["pattern"] = Regex.Unescape(pattern) };
    }

    private static JsonObject Number(string type, bool isNullable) => new() { ["type"] = isNullable ? new JsonArray(type, "null") : type };

    private static string? Summary(PropertyInfo property)
    {
        var name = $"P:{property.DeclaringType!.FullName}.{property.Name}";
        var summary = Documentation.Descendants("member").FirstOrDefault(member => (string?)member.Attribute("name") == name)?.Element("summary");
        foreach (var reference in summary?.Descendants("see").ToArray() ?? [])
        {
            reference.ReplaceWith(((string)reference.Attribute("cref")!).Split('.')[^1]);
        }

        return summary is null ? null : WhiteSpace().Replace(summary.Value, " ").Trim();
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex WhiteSpace();
}
