using System.ComponentModel;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.Simulator.Injection;

/// <summary>The command line form of <see cref="Faults"/>: <c>TokenRate</c> is <c>--sim-token-rate</c>.</summary>
internal static class FaultFlags
{
    private const string Prefix = "--sim-";

    public static bool IsFaultFlag(string flag) => flag.StartsWith(Prefix, StringComparison.Ordinal) && Find(flag) is not null;

    public static bool IsSwitch(string flag) => Find(flag)!.PropertyType == typeof(bool);

    /// <exception cref="FormatException">The text is no value of this option.</exception>
    public static Faults Apply(Faults faults, string flag, string value)
    {
        var property = Find(flag)!;
        var isText = property.PropertyType == typeof(string) || property.PropertyType.IsEnum;
        try
        {
            return FaultsJson.Merge(faults, new JsonObject
            {
                [JsonNamingPolicy.CamelCase.ConvertName(property.Name)] = isText ? JsonValue.Create(value) : JsonNode.Parse(value),
            });
        }
        catch (JsonException)
        {
            throw new FormatException($"'{value}' is no value of this option");
        }
    }

    public static string Help()
    {
        var text = new StringBuilder();
        foreach (var property in typeof(Faults).GetProperties())
        {
            if (property.GetCustomAttribute<DescriptionAttribute>() is { } description)
            {
                text.Append($"{NameOf(property) + Placeholder(property.PropertyType),-39} {description.Description}\n");
            }
        }

        return text.ToString();
    }

    private static PropertyInfo? Find(string flag) => Array.Find(typeof(Faults).GetProperties(), p => NameOf(p) == flag);

    private static string NameOf(PropertyInfo property) => Prefix + JsonNamingPolicy.KebabCaseLower.ConvertName(property.Name);

    private static string Placeholder(Type type) => type == typeof(bool) ? "" : type == typeof(string) ? " TEXT" : type.IsEnum ? " WORD" : " N";
}
