using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Import;

/// <summary>llama-swap's YAML in our words.</summary>
internal sealed class LlamaSwapImport
{
    private const int FirstPort = 5800;
    private const int PortsGiven = 100;

    /// <summary>What llama-swap lets a model do at once when nothing is said.</summary>
    private const int UsualConcurrency = 10;

    /// <summary>Group of all models that llama-swap would run one at a time.</summary>
    private const string OneAtATime = "swap";

    private readonly JsonObject _source;
    private readonly Macros _macros;
    private readonly JsonObject _models = [];
    private readonly List<string> _notes = [];
    private readonly int _firstPort;

    private LlamaSwapImport(JsonObject source, Func<string, string?> environment)
    {
        _source = source;
        _macros = new Macros(source["macros"] as JsonObject, environment, _notes);
        _firstPort = Whole(source["startPort"]) ?? FirstPort;
    }

    /// <param name="yaml">The file's text.</param>
    /// <param name="environment">Values for <c>${env.NAME}</c>; null when not set.</param>
    /// <exception cref="ImportException">It can't be read.</exception>
    public static Imported Read(string yaml, Func<string, string?> environment) => new LlamaSwapImport(Yaml.Read(yaml), environment).Run();

    private Imported Run()
    {
        var document = new JsonObject();
        if (Whole(_source["healthCheckTimeout"]) is { } patience)
        {
            document["Queue"] = new JsonObject { ["HoldWhileLoading"] = Seconds(Math.Max(15, patience)) };
        }

        if (Keys() is { Count: > 0 } keys)
        {
            document["Keys"] = keys;
        }

        foreach (var (name, node) in _source["models"] as JsonObject ?? [])
        {
            if (node is JsonObject model)
            {
                _models[name] = Model(name, model);
            }
        }

        Groups();
        Preload();
        Peers();
        document["Models"] = _models;
        foreach (var (key, value) in _source)
        {
            NoteRest("", key, value, ["healthCheckTimeout", "apiKeys", "models", "groups", "hooks", "peers", "macros", "startPort", "globalTTL", "unloadTimeout", "matrix", "routing"]);
        }

        return new(document, [.. _notes.Distinct()]);
    }

    private JsonObject Model(string name, JsonObject source)
    {
        var path = $"models.{name}";
        var macros = _macros.With(name, source["macros"] as JsonObject);
        var model = new JsonObject { ["Load"] = "on-demand" };
        var port = Command(path, model, macros, Text(source["cmd"]));
        if (Text(source["proxy"]) is { } proxy && Uri.TryCreate(macros.Replace(proxy, path).Replace("{port}", "1", StringComparison.Ordinal), UriKind.Absolute, out var url))
        {
            if (!url.IsLoopback && url.Host != "0.0.0.0")
            {
                _notes.Add($"{path}.proxy: {url.Host} is another machine; a process of the gateway's own is reached on this one. Make it a model of kind remote.");
            }
            else if (!proxy.Contains("${PORT}", StringComparison.Ordinal))
            {
                port ??= url.Port;
            }
        }

        model["Ports"] = port is { } fixedPort
            ? $"{fixedPort.ToString(CultureInfo.InvariantCulture)}-{fixedPort.ToString(CultureInfo.InvariantCulture)}"
            : $"{_firstPort.ToString(CultureInfo.InvariantCulture)}-{(_firstPort + PortsGiven - 1).ToString(CultureInfo.InvariantCulture)}";
        Environment(model, macros, source["env"] as JsonArray, path);
        Aliases(model, source["aliases"] as JsonArray);
        Ttl(model, source);
        if ((Whole(source["unloadTimeout"]) is > 0 and var own ? own : Whole(_source["unloadTimeout"])) is > 0 and var grace)
        {
            model["StopTimeout"] = Seconds(Math.Min(grace, 600));
        }

        CheckEndpoint(model, Text(source["checkEndpoint"]), macros, path);
        Filters(model, source["filters"] as JsonObject, path);
        Timeouts(model, source["timeouts"] as JsonObject, path);
        var isCommand = (string?)model["Kind"] == "command";
        if (Whole(source["concurrencyLimit"]) is > 0 and var limit)
        {
            if (isCommand)
            {
                model["Slots"] = limit;
            }
            else
            {
                _notes.Add($"{path}.concurrencyLimit: {limit} at once; here a llama-server works on as many as it has Slots, and the others wait in the queue instead of being refused.");
            }
        }
        else if (isCommand)
        {
            model["Slots"] = UsualConcurrency;
        }

        if (source["cmdStop"] is not null)
        {
            _notes.Add($"{path}.cmdStop: has no equivalent; a process is ended by SIGTERM, and after StopTimeout by SIGKILL for its whole group. A container started by 'docker run' needs --init and no --detach.");
        }

        foreach (var (key, value) in source)
        {
            NoteRest($"{path}.", key, value, ["cmd", "proxy", "env", "aliases", "ttl", "unloadTimeout", "checkEndpoint", "filters", "timeouts", "concurrencyLimit", "cmdStop", "macros"]);
        }

        return model;
    }

    /// <returns>The port that the command fixes, or null.</returns>
    private int? Command(string path, JsonObject model, Macros macros, string? command)
    {
        if (command is null)
        {
            _notes.Add($"{path}.cmd: is missing.");
            return null;
        }

        // Comments go first: a macro in one must not become a part of the command.
        var lines = command.Split('\n').Where(line => !line.TrimStart().StartsWith('#'));
        var words = ShellWords.Split(macros.Replace(string.Join('\n', lines), path));
        if (words.IsEmpty)
        {
            _notes.Add($"{path}.cmd: is empty.");
            return null;
        }

        if (Path.GetFileNameWithoutExtension(words[0]).StartsWith("llama-server", StringComparison.OrdinalIgnoreCase))
        {
            return ServerArguments.Put(model, words[0], words.Skip(1));
        }

        model["Kind"] = "command";
        model["Executable"] = words[0];
        model["Args"] = new JsonArray([.. words.Skip(1).Select(word => JsonValue.Create(word))]);
        return null;
    }

    private static void Environment(JsonObject model, Macros macros, JsonArray? variables, string path)
    {
        var environment = new JsonObject();
        foreach (var text in variables?.Select(Text).OfType<string>() ?? [])
        {
            var pair = macros.Replace(text, $"{path}.env").Split('=', 2);
            environment[pair[0]] = pair.Length > 1 ? pair[1] : "";
        }

        if (environment.Count > 0)
        {
            model["Environment"] = environment;
        }
    }

    private static void Aliases(JsonObject model, JsonArray? aliases)
    {
        var names = aliases?.Select(alias => alias is JsonObject named ? Text(named["id"]) : Text(alias)).OfType<string>().ToArray() ?? [];
        if (names.Length > 0)
        {
            model["Aliases"] = new JsonArray([.. names.Select(name => JsonValue.Create(name))]);
        }
    }

    private void Ttl(JsonObject model, JsonObject source)
    {
        var own = Whole(source["ttl"]) ?? -1;
        var ttl = own < 0 ? Whole(_source["globalTTL"]) ?? 0 : own;
        if (ttl > 0)
        {
            model["IdleTimeout"] = Seconds(ttl);
        }
    }

    private static void CheckEndpoint(JsonObject model, string? endpoint, Macros macros, string path)
    {
        var isServer = (string?)model["Kind"] == "llama-server";
        if ((endpoint ?? "/health") is var check && isServer && check == "/health")
        {
            return;
        }

        JsonObject Probe() => check == "none" ? new() { ["Kind"] = "tcp" } : new() { ["Kind"] = "http", ["Path"] = macros.Replace(check, path) };
        model["Probes"] = new JsonObject { ["Startup"] = Probe(), ["Readiness"] = Probe() };
    }

    private void Filters(JsonObject model, JsonObject? filters, string path)
    {
        if (Text(filters?["stripParams"] ?? filters?["strip_params"]) is { } strip)
        {
            model["StripParams"] = new JsonArray(
                [.. strip.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Where(name => name != "model").Select(name => JsonValue.Create(name))]);
        }

        if (filters?["setParams"] is JsonObject set)
        {
            model["SetParams"] = set.DeepClone();
        }

        if (filters?["setParamsByID"] is JsonObject byId)
        {
            _notes.Add($"{path}.filters.setParamsByID: has no equivalent; SetParams hold for all names of a model ({string.Join(", ", byId.Select(pair => pair.Key))}).");
        }
    }

    private void Timeouts(JsonObject model, JsonObject? timeouts, string path)
    {
        var ours = new JsonObject();
        if (Whole(timeouts?["connect"]) is > 0 and var connect)
        {
            ours["Connect"] = Seconds(Math.Min(connect, 300));
        }

        if (Whole(timeouts?["responseHeader"]) is > 0 and var first)
        {
            ours["FirstToken"] = Seconds(first);
        }

        if (ours.Count > 0)
        {
            model["Timeouts"] = ours;
        }

        foreach (var (key, value) in timeouts ?? [])
        {
            NoteRest($"{path}.timeouts.", key, value, ["connect", "responseHeader"]);
        }
    }

    private void Groups()
    {
        var routing = _source["routing"] as JsonObject;
        var router = routing?["router"] as JsonObject;
        if (_source["matrix"] is not null || Text(router?["use"]) == "matrix")
        {
            _notes.Add("matrix: has no equivalent; models live together as memory allows (Memory:Budget), and models of one Group exclude each other.");
            return;
        }

        foreach (var (key, value) in routing ?? [])
        {
            NoteRest("routing.", key, value, ["router"]);
        }

        var grouped = new HashSet<string>();
        foreach (var (name, node) in (_source["groups"] ?? router?["settings"]?["groups"]) as JsonObject ?? [])
        {
            var group = node as JsonObject ?? [];
            var (swap, exclusive) = (Truth(group["swap"]) ?? true, Truth(group["exclusive"]) ?? true);
            if (exclusive && !swap)
            {
                _notes.Add($"groups.{name}.exclusive: that a whole group makes room for another has no equivalent; its models live together, as memory allows.");
            }

            if (Truth(group["persistent"]) == true)
            {
                _notes.Add($"groups.{name}.persistent: others never unload its models for a group's sake; for memory's sake they may, unless Load is eager.");
            }

            foreach (var member in (group["members"] as JsonArray ?? []).Select(Text).OfType<string>())
            {
                grouped.Add(member);
                if (swap && _models[member] is JsonObject model)
                {
                    model["Group"] = exclusive ? OneAtATime : name;
                }
            }
        }

        var rest = _models.Where(pair => !grouped.Contains(pair.Key)).Select(pair => (JsonObject)pair.Value!).ToArray();
        if (rest.Length > 1 || (rest.Length > 0 && _models.Any(pair => (string?)pair.Value!["Group"] == OneAtATime)))
        {
            Array.ForEach(rest, model => model["Group"] = OneAtATime);
            _notes.Add($"models: llama-swap runs one of them at a time, so they share the Group \"{OneAtATime}\". Take it out to let memory decide.");
        }
    }

    private void Preload()
    {
        var hooks = _source["hooks"] as JsonObject;
        foreach (var name in ((hooks?["on_startup"] as JsonObject)?["preload"] as JsonArray ?? []).Select(Text).OfType<string>())
        {
            if (_models[name] is JsonObject model)
            {
                model["Load"] = "eager";
            }
        }

        foreach (var (key, value) in hooks ?? [])
        {
            NoteRest("hooks.", key, value, ["on_startup"]);
        }
    }

    private void Peers()
    {
        foreach (var (name, node) in _source["peers"] as JsonObject ?? [])
        {
            if (node is not JsonObject peer || Text(peer["proxy"]) is not { } proxy)
            {
                continue;
            }

            if (peer["apiKey"] is not null)
            {
                _notes.Add($"peers.{name}.apiKey: write it into a file that only the gateway may read, and name the file as KeyFile of the Remotes.");
            }

            foreach (var model in (peer["models"] as JsonArray ?? []).Select(Text).OfType<string>())
            {
                if (_models.ContainsKey(model))
                {
                    _notes.Add($"peers.{name}.models: {model} is taken by a model of its own.");
                    continue;
                }

                var remote = new JsonObject { ["Kind"] = "remote", ["Remotes"] = new JsonArray(new JsonObject { ["Url"] = _macros.Replace(proxy, $"peers.{name}") }) };
                Filters(remote, peer["filters"] as JsonObject, $"peers.{name}");
                _models[model] = remote;
            }

            foreach (var (key, value) in peer)
            {
                NoteRest($"peers.{name}.", key, value, ["proxy", "apiKey", "models", "filters"]);
            }
        }
    }

    private JsonArray Keys()
    {
        var keys = new JsonArray();
        foreach (var text in (_source["apiKeys"] as JsonArray ?? []).Select(Text).OfType<string>())
        {
            var secret = _macros.Replace(text, "apiKeys");
            if (secret.Length > 0)
            {
                var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
                keys.Add(new JsonObject { ["Name"] = $"key-{(keys.Count + 1).ToString(CultureInfo.InvariantCulture)}", ["Hash"] = $"sha256:{hash}" });
            }
        }

        return keys;
    }

    private void NoteRest(string path, string key, JsonNode? value, string[] known)
    {
        if (!known.Contains(key) && value is not null && !(value is JsonValue && (Whole(value) == 0 || Truth(value) == false || Text(value) == "")))
        {
            _notes.Add($"{path}{key}: has no equivalent.");
        }
    }

    private static string Seconds(int seconds) => $"{seconds.ToString(CultureInfo.InvariantCulture)}s";

    private static string? Text(JsonNode? node) => node is JsonValue value ? value.ToString() : null;

    private static int? Whole(JsonNode? node) => node is JsonValue value && value.TryGetValue<long>(out var number) ? (int)Math.Clamp(number, int.MinValue, int.MaxValue) : null;

    private static bool? Truth(JsonNode? node) => node is JsonValue value && value.TryGetValue<bool>(out var truth) ? truth : null;
}
