using System.Net;
using System.Net.Sockets;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public abstract partial class BackendFacts
{
    private const int SigTerm = 15;

    /// <summary>Exit codes of a process whose router has gone.</summary>
    protected virtual IEnumerable<int> CodesWithoutRouter => [1];

    [Theory]
    [InlineData("error: invalid argument: --no-such-flag", "--no-such-flag")]
    [InlineData("error: invalid argument: stray", "stray")]
    [InlineData("error while handling argument \"-np\": stoi", "-np", "x")]
    [InlineData("error while handling argument \"-np\": error: invalid value for n_parallel", "-np", "0")]
    [InlineData("error while handling argument \"--ctx-size\": stoi", "--ctx-size", "x")]
    [InlineData("error while handling argument \"--threads-http\": expected value for argument", "--threads-http")]
    public async Task WrongArgument_ExitsAtOnceWithItsReason(string reason, params string[] arguments)
    {
        await using var process = fixture.Launch(arguments);

        Assert.Equal(1, await ExitAsync(process));
        Assert.Contains(reason, process.Lines);
    }

    [Fact]
    public async Task WrongEnvironment_ExitsAtOnceWithItsReason()
    {
        await using var process = fixture.Launch([], environment: new Dictionary<string, string?> { ["LLAMA_ARG_CTX_SIZE"] = "x" });

        Assert.Equal(1, await ExitAsync(process));
        Assert.Contains("error while handling environment variable \"LLAMA_ARG_CTX_SIZE\": stoi", process.Lines);
    }

    [Fact]
    public async Task MissingModel_ExitsWithItsPath()
    {
        await using var process = fixture.Launch(["-m", "/no/such/model.gguf", "--port", "0"], withModel: false);

        Assert.Equal(1, await ExitAsync(process));
        Assert.Contains(process.Lines, l => l.Contains("failed to open GGUF file '/no/such/model.gguf' (No such file or directory)", StringComparison.Ordinal));
        Assert.Contains(process.Lines, l => l.EndsWith("load_model: failed to load model, '/no/such/model.gguf'", StringComparison.Ordinal));
        Assert.EndsWith("exiting due to model loading error", process.Lines[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task NotAModel_ExitsWithItsFirstBytes()
    {
        var path = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(path, "not a model", Cancellation);
            await using var process = fixture.Launch(["-m", path, "--port", "0"], withModel: false);

            Assert.Equal(1, await ExitAsync(process));
            Assert.Contains(process.Lines, l => l.Contains("invalid magic characters: 'not ', expected 'GGUF'", StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task PortTaken_ExitsWithTheAddress()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var port = ((IPEndPoint)other.LocalEndpoint).Port;
        await using var process = fixture.Launch(["--host", "127.0.0.1", "--port", $"{port}"]);

        Assert.Equal(1, await ExitAsync(process));
        Assert.Contains(process.Lines, l => l.EndsWith($"start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {port}", StringComparison.Ordinal));
        Assert.EndsWith("exiting due to HTTP server error", process.Lines[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(SigTerm)]
    [InlineData(2)]
    public async Task Termination_WhenIdle_ExitsWithZero(int signal)
    {
        await using var backend = await fixture.StartAsync(Cancellation, "-np", "1", "-c", "512", "-t", "1");
        await backend.GetAsync("/health", Cancellation);

        backend.Process.Signal(signal);

        Assert.Equal(0, await ExitAsync(backend.Process));
        Assert.Contains(backend.Process.Lines, l => l.EndsWith("cleaning up before exit...", StringComparison.Ordinal));
    }

    [Fact]
    public async Task EndOfInput_UnderARouter_EndsTheProcess()
    {
        await using var process = fixture.Launch(
            ["--host", "127.0.0.1", "--port", "0", "-np", "1", "-c", "512", "-t", "1"],
            environment: new Dictionary<string, string?> { ["LLAMA_SERVER_ROUTER_PORT"] = "1" });
        await process.WaitForLineAsync(l => l.StartsWith("cmd_child_to_router:state:{\"state\":\"ready\"", StringComparison.Ordinal), Cancellation);

        process.Signal(SigTerm);
        process.CloseInput();

        Assert.Contains(await ExitAsync(process), CodesWithoutRouter);
    }

    private static async Task<int> ExitAsync(ChildProcess process)
    {
        var code = await process.WaitForExitAsync(Cancellation);
        await process.WaitForOutputAsync(Cancellation);
        return code;
    }
}
