using System.Globalization;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.CommandLine;

/// <summary>Reads arguments and environment as llama-server does: same names, same refusals, same texts.</summary>
internal static class CommandLineReader
{
    private const string Version = "version: 0.7.0 (build 11669, simulator)\nbuilt with .NET for a gateway's tests\n";

    /// <summary>A flag that means something: its spellings, its environment variable, and what it does to the settings.</summary>
    private sealed record Flag(string[] Names, string? Environment, bool HasValue, Func<ServerSettings, string, ServerSettings> Apply, string Help);

    private static readonly Flag[] Flags =
    [
        new(["--host"], "LLAMA_ARG_HOST", true, (s, v) => s with { Host = v }, "IP address to listen on, or UNIX socket path ending in .sock (default: 127.0.0.1)"),
        new(["--port"], "LLAMA_ARG_PORT", true, (s, v) => s with { Port = Int(v) }, "port to listen, 0 = any free one (default: 9931)"),
        new(["--reuse-port"], null, false, (s, _) => s with { ReusePort = true }, "allow multiple sockets to bind to the same port"),
        new(["-np", "--parallel"], "LLAMA_ARG_N_PARALLEL", true, (s, v) => s with { Parallel = Slots(v) }, "number of server slots (default: -1, -1 = auto)"),
        new(["-a", "--alias"], "LLAMA_ARG_ALIAS", true, (s, v) => s with { Aliases = [.. Split(v).Order(StringComparer.Ordinal)] }, "model name aliases, comma-separated"),
        new(["-m", "--model"], "LLAMA_ARG_MODEL", true, (s, v) => s with { Model = v }, "model path; looked at, never loaded (default: none)"),
        new(["-c", "--ctx-size"], "LLAMA_ARG_CTX_SIZE", true, (s, v) => s with { ContextSize = Int(v) }, "size of the prompt context of all slots (default: 0, 0 = 32768)"),
        new(["-b", "--batch-size"], "LLAMA_ARG_BATCH", true, (s, v) => s with { BatchSize = Math.Max(1, Int(v)) }, "logical maximum batch size (default: 2048)"),
        new(["-ub", "--ubatch-size"], "LLAMA_ARG_UBATCH", true, (s, v) => s with { PhysicalBatchSize = Math.Max(1, Int(v)) }, "physical maximum batch size (default: 512)"),
        new(["-n", "--predict", "--n-predict"], "LLAMA_ARG_N_PREDICT", true, (s, v) => s with { Predict = Int(v) }, "number of tokens to predict (default: -1)"),
        new(["-cram", "--cache-ram"], "LLAMA_ARG_CACHE_RAM", true, (s, v) => s with { CacheRamMib = Int(v) }, "maximum prompt cache size in MiB, -1 = no limit, 0 = off (default: 8192)"),
        new(["--cache-prompt"], "LLAMA_ARG_CACHE_PROMPT", false, (s, _) => s with { CachePrompt = true }, "reuse cached prompts (default)"),
        new(["--no-cache-prompt"], null, false, (s, _) => s with { CachePrompt = false }, "evaluate every prompt anew"),
        new(["-sps", "--slot-prompt-similarity"], null, true, (s, v) => s with { SlotPromptSimilarity = Double(v) }, "least similarity for a slot to be preferred (default: 0.10)"),
        new(["--sse-ping-interval"], "LLAMA_ARG_SSE_PING_INTERVAL", true, (s, v) => s with { SsePingSeconds = Int(v) }, "SSE ping interval in seconds, -1 = off (default: 30)"),
        new(["--metrics"], "LLAMA_ARG_ENDPOINT_METRICS", false, (s, _) => s with { Metrics = true }, "enable the metrics endpoint"),
        new(["--slots"], "LLAMA_ARG_ENDPOINT_SLOTS", false, (s, _) => s with { Slots = true }, "expose the slots endpoint (default)"),
        new(["--no-slots"], null, false, (s, _) => s with { Slots = false }, "do not expose the slots endpoint"),
        new(["--embedding", "--embeddings"], "LLAMA_ARG_EMBEDDINGS", false, (s, _) => s with { Embeddings = true }, "enable the embedding endpoints"),
        new(["--rerank", "--reranking"], "LLAMA_ARG_RERANKING", false, (s, _) => s with { Rerank = true, Embeddings = true }, "enable the reranking endpoints"),
        new(["--api-key"], "LLAMA_API_KEY", true, (s, v) => s with { ApiKeys = [.. s.ApiKeys, .. Split(v)] }, "accepted API keys, comma-separated"),
        new(["-lv", "--verbosity", "--log-verbosity"], "LLAMA_ARG_LOG_VERBOSITY", true, (s, v) => s with { Verbosity = Int(v) }, "log threshold: 1 errors, 2 warnings, 3 info (default: 3)"),
        new(["-v", "--verbose", "--log-verbose"], null, false, (s, _) => s with { Verbosity = int.MaxValue }, "log everything"),
    ];

    public static CommandLineResult Read(IReadOnlyList<string> arguments, Func<string, string?> environment)
    {
        var settings = new ServerSettings();
        var faults = new Faults();
        foreach (var flag in Flags)
        {
            if (flag.Environment is { } variable && environment(variable) is { Length: > 0 } value)
            {
                if (!flag.HasValue && value is "0" or "false" or "off")
                {
                    settings = variable == "LLAMA_ARG_ENDPOINT_SLOTS" ? settings with { Slots = false } : settings;
                    continue;
                }

                try
                {
                    settings = flag.Apply(settings, value);
                }
                catch (FormatException e)
                {
                    return CommandLineResult.Refused($"error while handling environment variable \"{variable}\": {e.Message}\n\n");
                }
            }
        }

        for (var i = 0; i < arguments.Count; i++)
        {
            var name = arguments[i];
            switch (name)
            {
                case "-h" or "--help" or "--usage":
                    return CommandLineResult.Printed(Help(), toStandardOutput: true);
                case "--version":
                    return CommandLineResult.Printed(Version, toStandardOutput: false);
            }

            try
            {
                if (Array.Find(Flags, f => f.Names.Contains(name, StringComparer.Ordinal)) is { } flag)
                {
                    settings = flag.Apply(settings, flag.HasValue ? Next(ref i) : "");
                }
                else if (FaultFlags.IsFaultFlag(name))
                {
                    faults = FaultFlags.Apply(faults, name, FaultFlags.IsSwitch(name) ? "true" : Next(ref i));
                }
                else if (KnownFlags.TakesValue(name))
                {
                    var value = Next(ref i);
                    _ = KnownFlags.TakesNumber(name) ? Int(value) : 0;
                }
                else if (!KnownFlags.IsSwitch(name))
                {
                    return CommandLineResult.Refused($"error: invalid argument: {name}\n");
                }
            }
            catch (FormatException e)
            {
                return CommandLineResult.Refused($"error while handling argument \"{name}\": {e.Message}\n\nusage:\n{Usage(name)}\n\nto show complete usage, run with -h\n");
            }
        }

        return CommandLineResult.Accepted(settings, faults);

        string Next(ref int i) => ++i < arguments.Count ? arguments[i] : throw new FormatException("expected value for argument");
    }

    private static string Usage(string name) =>
        Array.Find(Flags, f => f.Names.Contains(name, StringComparer.Ordinal)) is { } flag ? Line(string.Join(", ", flag.Names), flag.HasValue, flag.Help) : $"{name} N\n";

    private static string Help()
    {
        var known = string.Concat(Flags.Select(f => Line(string.Join(", ", f.Names), f.HasValue, f.Help)));
        return $"""
            llama-simulator: answers as llama-server does, with babble for text and faults on demand.

            ----- llama-server's parameters that have an effect -----
            {known}
            Its other common parameters are accepted and change nothing; unknown ones are refused.

            ----- simulator parameters; also live: POST /sim/faults {"{"}"tokenRate": 20{"}"}, null = default -----
            {FaultFlags.Help()}
            """;
    }

    private static string Line(string names, bool hasValue, string help) => $"{(hasValue ? names + " N" : names),-39} {help}\n";

    private static string[] Split(string list) => list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    // The messages are those of the C++ functions that refuse the same text.
    private static int Int(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) ? value : throw new FormatException("stoi");

    private static double Double(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) ? value : throw new FormatException("stof");

    private static int Slots(string text) => Int(text) is var value && value != 0 ? Math.Max(value, -1) : throw new FormatException("error: invalid value for n_parallel\n");
}
