using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>The environment of a launch. Pure.</summary>
internal static class LaunchEnvironment
{
    /// <summary>How a server's key reaches it: never by argument, which every user of the machine can read.</summary>
    public const string KeyVariable = "LLAMA_API_KEY";

    public static Dictionary<string, string> Build(
        IEnumerable<KeyValuePair<string, string?>> inherited, ReplicaSetOptions options, LaunchPlace place, string? apiKey)
    {
        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in inherited)
        {
            if (value is not null && Passes(name, options.Kind))
            {
                result[name] = value;
            }
        }

        foreach (var (name, value) in options.Environment)
        {
            if (value is null)
            {
                result.Remove(name);
            }
            else
            {
                result[name] = CommandLine.Replace(value, options, place);
            }
        }

        if (apiKey is not null)
        {
            result[KeyVariable] = apiKey;
        }

        return result;
    }

    /// <summary>
    /// What the shell that started the gateway holds for a llama-server of its own must not change ours; LLAMA_CACHE and HF_* tell where
    /// models are and stay. What belongs to the gateway stays with the gateway: its tokens, the listeners of its web host, and how its runtime schedules.
    /// </summary>
    private static bool Passes(string name, ReplicaKind kind) =>
        !name.StartsWith("LLAMA_ARG_", StringComparison.Ordinal)
        && name is not (KeyVariable or "LLAMA_SERVER_ROUTER_PORT" or "NOTIFY_SOCKET" or "LISTEN_FDS" or "LISTEN_PID")
        && !name.StartsWith("DOTNET_SYSTEM_NET_SOCKETS_", StringComparison.Ordinal)
        && !name.StartsWith("LLMGATEWAY_", StringComparison.Ordinal)
        && !(kind is ReplicaKind.Simulator && (name.StartsWith("ASPNETCORE_", StringComparison.Ordinal)
            || name is "URLS" or "HTTP_PORTS" or "HTTPS_PORTS" or "DOTNET_URLS"));
}
