using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class CommandLineTests
{
    private static readonly LaunchPlace Tcp = new("127.0.0.1", 18100, 1);
    private static readonly LaunchPlace Socket = new("/run/x/0.sock", null, 1);

    [Fact]
    public void Build_LlamaServer_AddsWhatMakesItAGoodBackend() =>
        Assert.Equal(
            "-m models/q.gguf --host 127.0.0.1 --port 18100 --parallel 4 --alias qwen --metrics --sse-ping-interval 5 "
            + "--threads-http 512 --threads 3 --batch-size 512 --cache-ram 2048 --offline",
            Line(Llama("-m", "models/q.gguf") with { Slots = 4, LocalReplicas = 5, CacheRamMiB = 2048 }, Tcp, cores: 16));

    [Fact]
    public void Build_LlamaServerFromARepository_MayUseTheNetwork() =>
        Assert.Equal(
            "-hf org/repo:Q4 --host 127.0.0.1 --port 18100 --alias qwen --metrics --sse-ping-interval 5 --threads-http 512 --threads 1 --batch-size 512",
            Line(Llama("-hf", "org/repo:Q4"), Tcp, cores: 1));

    [Fact]
    public void Build_UnixSocket_GivesThePathAsHostAndNoPort() =>
        Assert.StartsWith("--host /run/x/0.sock --alias", Line(Llama(), Socket), StringComparison.Ordinal);

    [Fact]
    public void Build_Simulator_GetsTheFlagsThatMeanSomethingToIt() =>
        Assert.Equal(
            "--sim-x --host 127.0.0.1 --port 18100 --parallel 2 --alias qwen --metrics --sse-ping-interval 5",
            Line(Llama("--sim-x") with { Kind = ReplicaKind.Simulator, Slots = 2 }, Tcp));

    [Fact]
    public void Build_Command_GetsPlaceholdersAndNothingElse() =>
        Assert.Equal(
            "--listen=127.0.0.1:18100 -p 18100 -s 1 -n qwen-1 {other}",
            Line(Llama("--listen={host}:{port}", "-p", "{port}", "-s", "{slots}", "-n", "{model}-{replica}", "{other}") with { Kind = ReplicaKind.Command }, Tcp));

    [Theory]
    [InlineData("--parallel", "-np", "7")]
    [InlineData("--parallel", "--parallel", "7")]
    [InlineData("--parallel", "--n-parallel", "7")]
    [InlineData("--alias", "-a", "x")]
    [InlineData("--threads", "-t", "7")]
    [InlineData("--batch-size", "-b", "7")]
    [InlineData("--batch-size", "--batch_size", "7")]
    [InlineData("--batch-size", "-ngl", "99")]
    [InlineData("--batch-size", "--gpu-layers", "auto")]
    [InlineData("--batch-size", "--n-gpu-layers", "1")]
    [InlineData("--threads-http", "--threads-http", "7")]
    [InlineData("--cache-ram", "-cram", "7")]
    [InlineData("--sse-ping-interval", "--sse-ping-interval", "-1")]
    [InlineData("--port", "--port", "{port}")]
    public void Build_GivenUnderAnySpelling_IsNotAddedAgain(string flag, string spelling, string value)
    {
        var arguments = CommandLine.Build(Llama(spelling, value) with { Slots = 4, CacheRamMiB = 1 }, Tcp, cores: 4);
        Assert.Equal(flag == spelling ? 1 : 0, arguments.Count(argument => argument == flag));
    }

    [Fact]
    public void Build_NoGpuLayers_BoundsTheBatch() => Assert.Contains("--batch-size 512", Line(Llama("-ngl", "0"), Tcp), StringComparison.Ordinal);

    [Fact]
    public void Build_GivenByVariable_IsNotOverridden() =>
        Assert.DoesNotContain("--parallel", Line(Llama() with { Slots = 4, Environment = new Dictionary<string, string?> { ["LLAMA_ARG_N_PARALLEL"] = "2" } }, Tcp), StringComparison.Ordinal);

    [Theory]
    [InlineData("--port", "9999")]
    [InlineData("--host", "0.0.0.0")]
    public void PlaceProblem_FixedAddress_IsNamed(string flag, string value)
    {
        var options = Llama(flag, value);
        var place = flag == "--port" ? Tcp : Socket;
        Assert.Contains(value, CommandLine.PlaceProblem(options, CommandLine.Build(options, place, 1), place), StringComparison.Ordinal);
        var free = Llama("--host", "{host}");
        Assert.Null(CommandLine.PlaceProblem(free, CommandLine.Build(free, place, 1), place));
    }

    [Fact]
    public void Masked_Secrets_AreNotShown() =>
        Assert.Equal(["--api-key", "***", "-m", "x", "--hf-token", "***"], CommandLine.Masked(["--api-key", "s3cret", "-m", "x", "--hf-token", "hf_x"]));

    [Fact]
    public void ConfiguredKey_GivenByArgument_IsTheFirstOfThem()
    {
        Assert.Equal("k1", CommandLine.ConfiguredKey(["--api-key", "k1,k2"], new Dictionary<string, string?>()));
        Assert.Null(CommandLine.ConfiguredKey(["-m", "x"], new Dictionary<string, string?>()));
    }

    private static ReplicaSetOptions Llama(params string[] arguments) =>
        new() { Model = "qwen", Kind = ReplicaKind.LlamaServer, Executable = "llama-server", Args = arguments };

    private static string Line(ReplicaSetOptions options, LaunchPlace place, int cores = 2) => string.Join(' ', CommandLine.Build(options, place, cores));
}
