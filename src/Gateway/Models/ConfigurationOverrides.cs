using System.Collections;
using System.Globalization;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Models;

/// <summary>Scalars from the environment (<c>LLMGATEWAY__Section__Key</c>) and the command line (<c>--Section:Key=value</c>), by path.</summary>
internal static class ConfigurationOverrides
{
    private const string EnvironmentPrefix = "LLMGATEWAY__";

    /// <summary>The path of each override and its value, environment first, so that the command line wins.</summary>
    public static IEnumerable<(string[] Path, string Value)> Collect(IDictionary environment, IEnumerable<string> arguments)
    {
        foreach (DictionaryEntry variable in environment)
        {
            if (variable.Key is string name && name.StartsWith(EnvironmentPrefix, StringComparison.OrdinalIgnoreCase))
            {
                yield return (name[EnvironmentPrefix.Length..].Split("__"), (string?)variable.Value ?? "");
            }
        }

        foreach (var argument in arguments)
        {
            if (TryParseArgument(argument, out var path, out var value))
            {
                yield return (path, value);
            }
        }
    }

    /// <summary>True for <c>--Section:Key=value</c>.</summary>
    public static bool TryParseArgument(string argument, out string[] path, out string value)
    {
        var equals = argument.IndexOf('=', StringComparison.Ordinal);
        var isOverride = argument.StartsWith("--", StringComparison.Ordinal) && equals > 2 && argument.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon && colon < equals;
        (path, value) = isOverride ? (argument[2..equals].Split(':'), argument[(equals + 1)..]) : ([], "");
        return isOverride;
    }

    /// <summary>Sets one value in the document, making the sections on the way. In a list a segment is an index.</summary>
    /// <remarks>A model's name may hold the separator itself: at each section the longest run of segments that is an existing key wins.</remarks>
    public static void Apply(JsonObject document, ReadOnlySpan<string> path, string value)
    {
        JsonNode section = document;
        while (true)
        {
            if (section is JsonArray list && Index(list, path[0]) is { } index)
            {
                if (path.Length == 1)
                {
                    list[index] = JsonValue.Create(value);
                    return;
                }

                section = list[index] is JsonObject or JsonArray ? list[index]! : list[index] = new JsonObject();
                path = path[1..];
                continue;
            }

            if (section is not JsonObject record)
            {
                // No such element: the reader says so, under the path that was meant.
                record = [];
                section.ReplaceWith(record);
            }

            var (key, used) = Key(record, path);
            if (used == path.Length)
            {
                record[key] = JsonValue.Create(value);
                return;
            }

            section = record[key] is JsonObject or JsonArray ? record[key]! : record[key] = new JsonObject();
            path = path[used..];
        }
    }

    private static int? Index(JsonArray list, string segment) =>
        int.TryParse(segment, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index < list.Count ? index : null;

    private static (string Key, int Used) Key(JsonObject section, ReadOnlySpan<string> path)
    {
        for (var used = path.Length; used >= 1; used--)
        {
            // The separators of the command line and of the environment.
            string[] names = [string.Join(':', path[..used]), string.Join("__", path[..used])];
            foreach (var comparison in new[] { StringComparison.Ordinal, StringComparison.OrdinalIgnoreCase })
            {
                foreach (var (known, _) in section)
                {
                    if (names.Any(name => string.Equals(known, name, comparison)))
                    {
                        return (known, used);
                    }
                }
            }
        }

        return (path[0], 1);
    }
}
