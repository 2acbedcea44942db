using System.Collections.Immutable;
using System.Globalization;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>What the placeholders of one launch stand for.</summary>
/// <param name="Host">127.0.0.1, or the path of the Unix socket.</param>
/// <param name="Port">The port; null on a Unix socket.</param>
/// <param name="Index">0-based place of the replica.</param>
internal readonly record struct LaunchPlace(string Host, int? Port, int Index);

/// <summary>Builds the arguments of a launch. Pure.</summary>
/// <remarks>
/// What a llama-server needs to be a good backend is added when it is absent under every spelling, the environment variable of the
/// flag included (a flag would win over it). The values are measured: without <c>--threads-http</c> its <c>/health</c> hangs once a few
/// connections are open; two servers with a thread per core each run ten times slower; a batch of 2048 on a CPU delays every cancel
/// and stop by seconds, so it is 512 unless GPU layers are asked for (<c>-ngl</c> other than 0: then a batch takes milliseconds);
/// frequent SSE pings let a stop notice a client that has gone. <c>--offline</c> keeps a local file from being looked up on the network;
/// a model given by repository (<c>-hf</c>) may need that network and does not get it.
/// The simulator gets the same flags as far as they mean something to it.
/// </remarks>
internal static class CommandLine
{
    private static readonly Flag Host = new("--host", [], "LLAMA_ARG_HOST");
    private static readonly Flag Port = new("--port", [], "LLAMA_ARG_PORT");
    private static readonly Flag Parallel = new("--parallel", ["-np", "--n-parallel"], "LLAMA_ARG_N_PARALLEL");
    private static readonly Flag Alias = new("--alias", ["-a"], "LLAMA_ARG_ALIAS");
    private static readonly Flag Metrics = new("--metrics", [], "LLAMA_ARG_ENDPOINT_METRICS");
    private static readonly Flag ThreadsHttp = new("--threads-http", [], "LLAMA_ARG_THREADS_HTTP");
    private static readonly Flag Threads = new("--threads", ["-t"], "LLAMA_ARG_THREADS");
    private static readonly Flag BatchSize = new("--batch-size", ["-b"], "LLAMA_ARG_BATCH");
    private static readonly Flag SsePing = new("--sse-ping-interval", [], "LLAMA_ARG_SSE_PING_INTERVAL");
    private static readonly Flag CacheRam = new("--cache-ram", ["-cram"], "LLAMA_ARG_CACHE_RAM");
    private static readonly Flag Offline = new("--offline", [], "LLAMA_ARG_OFFLINE");
    private static readonly Flag GpuLayers = new("--n-gpu-layers", ["-ngl", "--gpu-layers"], "LLAMA_ARG_N_GPU_LAYERS");
    private static readonly Flag Model = new("--model", ["-m"], "LLAMA_ARG_MODEL");
    private static readonly Flag ApiKey = new("--api-key", [], "LLAMA_API_KEY");

    /// <summary>The arguments, without the program.</summary>
    public static ImmutableArray<string> Build(ReplicaSetOptions options, LaunchPlace place, int cores)
    {
        var arguments = options.Args.Select(argument => Replace(argument, options, place)).ToImmutableArray();
        if (options.Kind is ReplicaKind.Command)
        {
            return arguments;
        }

        var given = new FlagArguments(arguments, options.Environment);
        var added = ImmutableArray.CreateBuilder<string>();
        void Add(Flag flag, string? value = null)
        {
            if (!given.Has(flag))
            {
                added.Add(flag.Name);
                if (value is not null)
                {
                    added.Add(value);
                }
            }
        }

        Add(Host, place.Host);
        if (place.Port is { } port)
        {
            Add(Port, Text(port));
        }

        if (options.Slots is { } slots)
        {
            Add(Parallel, Text(slots));
        }

        Add(Alias, options.Model);
        Add(Metrics);
        Add(SsePing, "5");
        if (options.Kind is ReplicaKind.LlamaServer)
        {
            Add(ThreadsHttp, "512");
            Add(Threads, Text(Math.Max(1, cores / Math.Max(1, options.LocalReplicas))));
            if (given.ValueOf(GpuLayers) is null or "0")
            {
                Add(BatchSize, "512");
            }

            if (options.CacheRamMiB is { } mebibytes)
            {
                Add(CacheRam, Text(mebibytes));
            }

            if (given.Has(Model))
            {
                Add(Offline);
            }
        }

        return [.. arguments, .. added];
    }

    /// <summary>Replaces the placeholders in one argument or variable.</summary>
    public static string Replace(string text, ReplicaSetOptions options, LaunchPlace place) =>
        text.Contains('{', StringComparison.Ordinal)
            ? text.Replace("{host}", place.Host, StringComparison.Ordinal)
                .Replace("{port}", place.Port is { } port ? Text(port) : string.Empty, StringComparison.Ordinal)
                .Replace("{slots}", Text(options.Slots ?? 1), StringComparison.Ordinal)
                .Replace("{replica}", Text(place.Index), StringComparison.Ordinal)
                .Replace("{model}", options.Model, StringComparison.Ordinal) // last: a name must not be read as a placeholder
            : text;

    /// <summary>The local model file that the arguments name, or null.</summary>
    public static string? ModelFile(ImmutableArray<string> arguments, IReadOnlyDictionary<string, string?> environment) =>
        new FlagArguments(arguments, environment).ValueOf(Model);

    /// <summary>The names that the server will give itself.</summary>
    public static string? AliasOf(ImmutableArray<string> arguments, IReadOnlyDictionary<string, string?> environment) =>
        new FlagArguments(arguments, environment).ValueOf(Alias);

    /// <summary>The key that the configuration gives the server, or null: then it gets one of ours.</summary>
    public static string? ConfiguredKey(ImmutableArray<string> arguments, IReadOnlyDictionary<string, string?> environment) =>
        new FlagArguments(arguments, environment).ValueOf(ApiKey)?.Split(',')[0];

    /// <summary>What is wrong when the configuration fixes an address that is not the one of this launch, else null.</summary>
    public static string? PlaceProblem(ReplicaSetOptions options, ImmutableArray<string> arguments, LaunchPlace place)
    {
        if (options.Kind is ReplicaKind.Command)
        {
            return null;
        }

        var given = new FlagArguments(arguments, options.Environment);
        if (place.Port is not { } port)
        {
            return given.ValueOf(Host) is { } host && host != place.Host
                ? $"Args give --host {host}, but the gateway reaches it by a Unix socket. Leave --host out, or write {{host}}."
                : null;
        }

        return given.ValueOf(Port) is { } fixedPort && fixedPort != Text(port)
            ? $"Args give --port {fixedPort}, but each replica has a port of its own. Leave --port out (Ports is the range), or write {{port}}."
            : null;
    }

    /// <summary>The same arguments with secrets masked, for people.</summary>
    public static ImmutableArray<string> Masked(ImmutableArray<string> arguments)
    {
        var masked = arguments.ToBuilder();
        for (var i = 0; i + 1 < masked.Count; i++)
        {
            if (masked[i] is "--api-key" or "-hft" or "--hf-token")
            {
                masked[i + 1] = "***";
            }
        }

        return masked.ToImmutable();
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
