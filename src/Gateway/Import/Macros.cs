using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace LlmGateway.Gateway.Import;

/// <summary>llama-swap's <c>${name}</c>: macros, the environment, and the two that become ours.</summary>
internal sealed partial class Macros
{
    /// <summary>Macros in macros, at most this deep.</summary>
    private const int Deepest = 10;

    private readonly Dictionary<string, string> _values;
    private readonly Func<string, string?> _environment;
    private readonly List<string> _notes;

    public Macros(JsonObject? values, Func<string, string?> environment, List<string> notes)
        : this(environment, notes, []) => Add(values);

    private Macros(Func<string, string?> environment, List<string> notes, Dictionary<string, string> values) =>
        (_values, _environment, _notes) = (values, environment, notes);

    /// <summary>Those of one model, on top of these.</summary>
    public Macros With(string model, JsonObject? values)
    {
        var own = new Macros(_environment, _notes, new(_values) { ["PORT"] = "{port}", ["MODEL_ID"] = model });
        own.Add(values);
        return own;
    }

    /// <summary>The text with everything replaced; what is not known stays, and is noted under the path.</summary>
    public string Replace(string text, string path)
    {
        for (var depth = 0; depth < Deepest && text.Contains("${", StringComparison.Ordinal); depth++)
        {
            var next = Reference().Replace(text, match => Value(match.Groups[1].Value, path) ?? match.Value);
            if (next == text)
            {
                break;
            }

            text = next;
        }

        return text;
    }

    private string? Value(string name, string path)
    {
        if (name.StartsWith("env.", StringComparison.Ordinal))
        {
            if (_environment(name[4..]) is { } set)
            {
                return set;
            }

            _notes.Add($"{path}: the environment has no {name[4..]} now; it was left empty.");
            return "";
        }

        if (_values.TryGetValue(name, out var value))
        {
            return value;
        }

        _notes.Add($"{path}: there is no macro ${{{name}}}.");
        return null;
    }

    private void Add(JsonObject? values)
    {
        foreach (var (name, value) in values ?? [])
        {
            _values[name] = value?.ToString().Trim() ?? "";
        }
    }

    [GeneratedRegex(@"\$\{([A-Za-z0-9_.-]+)\}")]
    private static partial Regex Reference();
}
