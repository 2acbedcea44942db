using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class LaunchEnvironmentTests
{
    [Fact]
    public void Build_Inherited_PassesWhatIsNotAboutServers()
    {
        var inherited = new Dictionary<string, string?>
        {
            ["PATH"] = "/bin",
            ["HF_TOKEN"] = "t",
            ["LLAMA_CACHE"] = "/c",
            ["LLAMA_ARG_PORT"] = "1",
            ["LLAMA_API_KEY"] = "old",
            ["DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS"] = "1",
            ["DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT"] = "1",
            ["LLAMA_SERVER_ROUTER_PORT"] = "1",
            ["LLMGATEWAY_TOKEN"] = "secret",
            ["ASPNETCORE_URLS"] = "http://*:1",
            ["NONE"] = null,
        };
        var options = new ReplicaSetOptions
        {
            Model = "q",
            Kind = ReplicaKind.Simulator,
            Executable = "x",
            Environment = new Dictionary<string, string?> { ["LLAMA_ARG_X"] = "{port}/{model}", ["HF_TOKEN"] = null },
        };

        var environment = LaunchEnvironment.Build(inherited, options, new("h", 7, 0), "new");

        Assert.Equal(
            new Dictionary<string, string> { ["PATH"] = "/bin", ["LLAMA_CACHE"] = "/c", ["LLAMA_ARG_X"] = "7/q", ["LLAMA_API_KEY"] = "new" },
            environment);
    }
}
