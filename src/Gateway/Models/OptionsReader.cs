using System.Collections;
using System.Collections.Immutable;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace LlmGateway.Gateway.Models;

/// <summary>One thing that is wrong with a configuration.</summary>
/// <param name="Path">The key's path, such as <c>Models:demo:Slots</c>.</param>
/// <param name="Value">What stands there, as text, or null.</param>
/// <param name="Message">What is wrong and what would be right.</param>
internal sealed record ConfigurationError(string Path, string? Value, string Message)
{
    /// <summary>Paths of the other options that it is about: with one of them unreadable there is nothing to complain of yet.</summary>
    public ImmutableArray<string> Beside { get; init; } = [];

    public override string ToString() => (Path, Value) switch
    {
        ("", _) => Message,
        (_, null) => $"{Path}: {Message}",
        _ => $"{Path} = {Value}: {Message}",
    };
}

/// <summary>Turns a JSON document into options records and collects every error on the way, never only the first.</summary>
/// <remarks>
/// Not <c>ConfigurationBinder</c>: model names hold colons, and its keys are separated by them.
/// Not <c>JsonSerializer</c> alone: it stops at the first error and knows no bounds.
/// </remarks>
internal sealed class OptionsReader
{
    private const int LongestValueShown = 80;

    private readonly List<ConfigurationError> _errors = [];

    /// <summary>Reads <paramref name="document"/>; with errors the value holds what could be read, and the defaults else.</summary>
    public static (T Value, ImmutableArray<ConfigurationError> Errors) Read<T>(JsonNode? document)
        where T : new()
    {
        var reader = new OptionsReader();
        var value = (T?)reader.Value(document, OptionsJson.Serializer.GetTypeInfo(typeof(T)), "") ?? new T();
        return (value, [.. reader._errors]);
    }

    /// <summary>The text of a value as an error shows it.</summary>
    internal static string? Show(JsonNode? node)
    {
        string? text;
        try
        {
            text = node?.ToJsonString();
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair, say: it can't be shown.
            return null;
        }

        return text is { Length: > LongestValueShown } ? string.Concat(text.AsSpan(0, LongestValueShown), "…") : text ?? "null";
    }

    private object? Value(JsonNode? node, JsonTypeInfo type, string path) => type.Kind switch
    {
        JsonTypeInfoKind.Object when type.Type != typeof(JsonObject) => Record(node, type, path),
        JsonTypeInfoKind.Dictionary when type.ElementType != typeof(JsonNode) => Map(node, type, path, allowsNull: false),
        JsonTypeInfoKind.Enumerable => List(node, type, path),
        _ => Leaf(node, type.Type, null, path),
    };

    private object? Record(JsonNode? node, JsonTypeInfo type, string path)
    {
        if (node is not JsonObject record)
        {
            Wrong(path, node, "expected an object { … }");
            return null;
        }

        var result = type.CreateObject!();
        var seen = new HashSet<JsonPropertyInfo>();
        foreach (var (name, child) in record)
        {
            var property = type.Properties.FirstOrDefault(known => string.Equals(known.Name, name, StringComparison.OrdinalIgnoreCase));
            var childPath = Join(path, name);
            if (property is null)
            {
                _errors.Add(new(childPath, null, "unknown key" + Nearest(name, type.Properties.Select(known => known.Name))));
                continue;
            }

            if (!seen.Add(property))
            {
                Wrong(childPath, child, "stands twice: the case of a key's letters does not matter");
                continue;
            }

            // What can be read of a faulty section still counts: the relations between options are checked in the same run.
            if (Property(child, property, childPath) is var value && (value is not null || IsNullable(property)))
            {
                property.Set!(result, value);
            }
        }

        return result;
    }

    private object? Property(JsonNode? node, JsonPropertyInfo property, string path)
    {
        if (node is null && IsNullable(property))
        {
            return null;
        }

        var type = OptionsJson.Serializer.GetTypeInfo(property.PropertyType);
        var value = property.CustomConverter is { } converter ? Leaf(node, property.PropertyType, converter, path)
            : type.Kind == JsonTypeInfoKind.Dictionary && type.ElementType != typeof(JsonNode) ? Map(node, type, path, HoldsNulls(property))
            : Value(node, type, path);
        foreach (var bound in property.AttributeProvider!.GetCustomAttributes(typeof(ValidationAttribute), inherit: false).Cast<ValidationAttribute>())
        {
            if (value is not null && !bound.IsValid(value))
            {
                Wrong(path, node, bound is RangeAttribute range ? $"must lie between {range.Minimum} and {range.Maximum}" : bound.FormatErrorMessage(property.Name));
            }
        }

        return value;
    }

    private IDictionary? Map(JsonNode? node, JsonTypeInfo type, string path, bool allowsNull)
    {
        if (node is not JsonObject record)
        {
            Wrong(path, node, "expected an object { \"name\": … }");
            return null;
        }

        var element = OptionsJson.Serializer.GetTypeInfo(type.ElementType!);
        var result = (IDictionary)Activator.CreateInstance(typeof(Dictionary<,>).MakeGenericType(typeof(string), element.Type))!;
        foreach (var (name, child) in record)
        {
            result[name] = child is null && allowsNull ? null : Value(child, element, Join(path, name)) ?? Empty(element);
        }

        return result;
    }

    private Array? List(JsonNode? node, JsonTypeInfo type, string path)
    {
        if (node is not JsonArray array)
        {
            Wrong(path, node, "expected a list [ … ]");
            return null;
        }

        var element = OptionsJson.Serializer.GetTypeInfo(type.ElementType!);
        var result = Array.CreateInstance(element.Type, array.Count);
        for (var i = 0; i < array.Count; i++)
        {
            result.SetValue(Value(array[i], element, Join(path, i.ToString(System.Globalization.CultureInfo.InvariantCulture))) ?? Empty(element), i);
        }

        return result;
    }

    private object? Leaf(JsonNode? node, Type type, JsonConverter? converter, string path)
    {
        try
        {
            var options = OptionsJson.Serializer;
            if (converter is not null)
            {
                options = new JsonSerializerOptions(options);
                options.Converters.Insert(0, converter);
            }

            if (JsonSerializer.Deserialize(node, type, options) is { } value)
            {
                return value;
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // The framework's text speaks of CLR types; the reader's own names the form that is expected.
        }

        Wrong(path, node, Expected(Nullable.GetUnderlyingType(type) ?? type));
        return null;
    }

    private static string Expected(Type type) => type switch
    {
        _ when type.IsEnum => "expected one of " + string.Join(", ", Enum.GetNames(type).Select(JsonNamingPolicy.KebabCaseLower.ConvertName)),
        _ when type == typeof(TimeSpan) => "expected a duration such as 250ms, 30s, 10m, 1h or 00:01:30",
        _ when type == typeof(ByteSize) => "expected a number of bytes, or a size such as 512MiB",
        _ when type == typeof(PortRange) => "expected a range of ports such as 18100-18199",
        _ when type == typeof(bool) => "expected true or false",
        _ when type == typeof(int) => "expected a whole number",
        _ when type == typeof(double) => "expected a number",
        _ when type == typeof(string) => "expected a text in quotes",
        _ when type == typeof(JsonObject) => "expected an object { … }",
        _ => "expected a text, or a list of texts",
    };

    private void Wrong(string path, JsonNode? node, string message) => _errors.Add(new(path, Show(node), message));

    private static bool IsNullable(JsonPropertyInfo property) =>
        Nullable.GetUnderlyingType(property.PropertyType) is not null
        || (property.AttributeProvider is PropertyInfo info && new NullabilityInfoContext().Create(info).WriteState == NullabilityState.Nullable);

    private static bool HoldsNulls(JsonPropertyInfo property) =>
        property.AttributeProvider is PropertyInfo info && new NullabilityInfoContext().Create(info).GenericTypeArguments is [.., { WriteState: NullabilityState.Nullable }];

    /// <summary>Stands in for an element that could not be read, so that the others keep their places.</summary>
    private static object? Empty(JsonTypeInfo element) => element.Type == typeof(string) ? "" : element.CreateObject?.Invoke();

    private static string Join(string path, string name) => path.Length == 0 ? name : $"{path}:{name}";

    /// <summary>A hint at the known key that was probably meant.</summary>
    private static string Nearest(string name, IEnumerable<string> known)
    {
        var (best, distance) = known.Select(candidate => (candidate, EditDistance(name.ToUpperInvariant(), candidate.ToUpperInvariant())))
            .OrderBy(pair => pair.Item2).FirstOrDefault();
        return best is null ? "" : distance <= Math.Max(2, best.Length / 2) ? $"; did you mean {best}?" : $"; known here: {string.Join(", ", known)}";
    }

    private static int EditDistance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substitution, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[^1];
    }
}
