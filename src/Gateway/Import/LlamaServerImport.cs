using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Import;

/// <summary>The presets of llama-server's router (an INI file: a section for each model, <c>[*]</c> for all) in our words.</summary>
internal static class LlamaServerImport
{
    /// <summary>Options that are there or not there, and take no value.</summary>
    private static readonly FrozenSet<string> Switches = FrozenSet.Create(
        StringComparer.Ordinal,
        "jinja", "mmap", "mlock", "kv-unified", "cont-batching", "embedding", "embeddings", "reranking", "rerank", "slots", "props", "metrics", "webui", "ui", "offline", "swa-full",
        "verbose", "context-shift", "warmup", "kv-offload", "op-offload", "repack", "spec-default", "escape", "special", "cpu-moe", "check-tensors", "perf", "mmproj-auto",
        "mmproj-offload", "prefill-assistant", "cache-prompt", "cache-idle-slots", "log-prefix", "log-timestamps", "direct-io");

    /// <summary>What the gateway decides itself.</summary>
    private static readonly FrozenSet<string> Ours = FrozenSet.Create(StringComparer.Ordinal, "host", "port", "api-key", "api-key-file", "ssl-key-file", "ssl-cert-file", "models-dir", "models-max", "models-preset", "models-autoload");

    /// <exception cref="ImportException">It can't be read.</exception>
    public static Imported Read(string ini)
    {
        var (common, sections, notes) = Parse(ini);
        var models = new JsonObject();
        foreach (var (name, own) in sections)
        {
            var options = new Dictionary<string, string>(common, StringComparer.Ordinal);
            foreach (var (key, value) in own)
            {
                options[key] = value;
            }

            models[name] = Model(name, options, notes);
        }

        return new(new JsonObject { ["Models"] = models }, [.. notes.Distinct()]);
    }

    private static JsonObject Model(string name, Dictionary<string, string> options, List<string> notes)
    {
        var model = new JsonObject { ["Load"] = "on-demand" };
        var (arguments, environment) = (new List<string>(), new JsonObject());
        foreach (var (key, value) in options)
        {
            switch (key)
            {
                case "load-on-startup":
                    model["Load"] = IsOn(value) ? "eager" : "on-demand";
                    break;
                case "stop-timeout" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds):
                    model["StopTimeout"] = $"{Math.Min(seconds, 600).ToString(CultureInfo.InvariantCulture)}s";
                    break;
                case "alias" or "a":
                    model["Aliases"] = new JsonArray([.. value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Where(alias => alias != name).Select(alias => JsonValue.Create(alias))]);
                    break;
                case "sleep-idle-seconds" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var idle) && idle > 0:
                    model["IdleTimeout"] = $"{idle.ToString(CultureInfo.InvariantCulture)}s";
                    break;
                case var _ when Ours.Contains(key):
                    notes.Add($"[{name}] {key}: is the gateway's own business; see Gateway:Listen, Keys and Gateway:Tls.");
                    break;
                case var _ when key.StartsWith("LLAMA_", StringComparison.Ordinal):
                    environment[key] = value;
                    break;
                default:
                    Add(arguments, key, value);
                    break;
            }
        }

        if (!options.Keys.Any(key => key is "model" or "m" or "hf" or "hf-repo" or "hfr" or "model-url" or "mu" or "LLAMA_ARG_MODEL" or "LLAMA_ARG_HF_REPO"))
        {
            notes.Add($"[{name}]: names no model file; llama-server would look for one of this name in its cache. Name it: \"-m\", FILE or \"-hf\", ORG/REPO.");
        }

        ServerArguments.Put(model, "llama-server", arguments);
        if (environment.Count > 0)
        {
            model["Environment"] = environment;
        }

        return model;
    }

    private static void Add(List<string> arguments, string key, string value)
    {
        var isNegated = key.StartsWith("no-", StringComparison.Ordinal);
        var name = isNegated ? key[3..] : key;
        if (Switches.Contains(name) || isNegated)
        {
            arguments.Add(IsOn(value) == isNegated ? $"--no-{name}" : $"--{name}");
            return;
        }

        // Short names have up to three letters; a few have four.
        arguments.Add(key.Length <= 3 || key is "ctkd" or "ctvd" or "cram" or "cmoe" ? $"-{key}" : $"--{key}");
        arguments.Add(value);
    }

    private static bool IsOn(string value) => value.ToUpperInvariant() is "1" or "TRUE" or "ON" or "ENABLED" or "YES";

    private static (Dictionary<string, string> Common, List<(string Name, Dictionary<string, string> Options)> Sections, List<string> Notes) Parse(string ini)
    {
        var common = new Dictionary<string, string>(StringComparer.Ordinal);
        var sections = new List<(string Name, Dictionary<string, string> Options)>();
        var notes = new List<string>();
        Dictionary<string, string>? current = null;
        var number = 0;
        foreach (var raw in ini.Split('\n'))
        {
            number++;
            var line = raw.Trim();
            if (line.Length == 0 || line[0] is '#' or ';')
            {
                continue;
            }

            if (line[0] == '[')
            {
                var name = line.EndsWith(']') ? line[1..^1].Trim() : throw new ImportException($"line {number}: a section's name is not closed");
                current = name == "*" ? common : sections.FirstOrDefault(section => section.Name == name).Options;
                if (current is null)
                {
                    sections.Add((name, current = new(StringComparer.Ordinal)));
                }

                continue;
            }

            var equals = line.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw new ImportException($"line {number}: expected key = value");
            }

            var (key, value) = (line[..equals].Trim().TrimStart('-'), line[(equals + 1)..].Trim());
            if (current is not null)
            {
                current[key] = value;
            }
            else if (!key.Equals("version", StringComparison.OrdinalIgnoreCase) && key != "LLAMA_CONFIG_VERSION")
            {
                notes.Add($"{key}: stands before the first section; llama-server takes options from sections only.");
            }
        }

        return sections.Count > 0 ? (common, sections, notes) : throw new ImportException("there is no section that names a model");
    }
}
