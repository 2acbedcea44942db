using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>The pages of <c>docs/runbooks</c>: each one's fault is made, and its commands are run as they stand there.</summary>
public sealed partial class RunbookTests
{
    private const int Limit = 120_000;
    private const string Backend = "demo/0";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static string Folder { get; } = Path.Combine(RepositoryPaths.Root, "docs", "runbooks");

    [Fact]
    public void Pages_AllAreInTheIndexAndHaveTheSameParts()
    {
        var index = File.ReadAllText(Path.Combine(Folder, "README.md"));
        foreach (var page in Directory.EnumerateFiles(Folder, "*.md").Where(page => !page.EndsWith("README.md", StringComparison.Ordinal)))
        {
            Assert.Contains($"({Path.GetFileName(page)})", index, StringComparison.Ordinal);
            var text = File.ReadAllText(page);
            Assert.Contains("**Trigger.**", text, StringComparison.Ordinal);
            Assert.Equal(["## Diagnose", "## Mitigate", "## Verify"], text.Split('\n').Where(line => line.StartsWith("## ", StringComparison.Ordinal)));
        }
    }

    [Fact(Timeout = Limit)]
    public async Task CrashLoop_KilledUntilTheBudgetIsSpent_ItsCommandsBringItBack()
    {
        await using var gateway = await StartAsync(""" "Replicas": 1, "Restart": { "InitialBackoff": "50ms", "MaxRestarts": 1 } """);
        await KillAsync(gateway);
        await KillAsync(gateway);
        await gateway.UntilAsync(status => status.Replica(Backend).State == "failed", "the budget to be spent", Ct);

        var output = await RunAsync(gateway, "crash-loop.md", "Diagnose");
        Assert.Contains("external_kill", output, StringComparison.Ordinal);
        Assert.Contains("failed", output, StringComparison.Ordinal);
        await RunAsync(gateway, "crash-loop.md", "Mitigate");
        AssertReady(await RunAsync(gateway, "crash-loop.md", "Verify"));
    }

    [Fact(Timeout = Limit)]
    public async Task WedgedBackend_StoppedByASignal_ItsCommandsReplaceIt()
    {
        await using var gateway = await StartAsync(""" "Replicas": 1, "StopTimeout": "1s", "Probes": { "Liveness": { "InitialDelay": "10m" } } """); // else it is replaced before anybody looks
        var pid = (await gateway.UntilReadyAsync(Ct)).Replica(Backend).Pid!.Value;
        await using var stop = ChildProcess.Start("kill", ["-STOP", $"{pid}"]);
        Assert.Equal(0, await stop.WaitForExitAsync(Ct));

        Assert.Matches($@"(?m)^ *{pid} +T", await RunAsync(gateway, "wedged-backend.md", "Diagnose"));
        await RunAsync(gateway, "wedged-backend.md", "Mitigate");
        AssertReady(await RunAsync(gateway, "wedged-backend.md", "Verify"));
        Assert.NotEqual(pid, (await gateway.StatusAsync(Ct)).Replica(Backend).Pid);
    }

    // The kernel's own killing needs a cgroup of ours: this is what a GPU's server says when it has too little.
    [Fact(Timeout = Limit)]
    public async Task OutOfMemory_AModelThatDoesNotFit_ItsCommandsBringItBackSmaller()
    {
        const string Greedy = "echo 'ggml_backend_cuda_buffer_type_alloc_buffer: allocating 81920.00 MiB on device 0: cudaMalloc failed: out of memory' >&2; exit 1";
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""{ "Models": { "demo": { "Executable": "/bin/sh", "Args": ["-c", "{{Greedy}}"], "Replicas": 1, "Restart": { "InitialBackoff": "50ms", "MaxRestarts": 0 } } } }""", Ct);
        var status = await gateway.UntilAsync(status => status.Replica(Backend).State == "failed", "it not to fit", Ct);
        Assert.Equal("vram", status.Replica(Backend).LastExit!.Cause);

        Assert.Contains("out of memory", await RunAsync(gateway, "out-of-memory.md", "Diagnose"), StringComparison.Ordinal);
        gateway.Configure("""{ "Models": { "demo": { "Kind": "simulator", "Replicas": 1 } } }""");
        await RunAsync(gateway, "out-of-memory.md", "Mitigate");
        AssertReady(await RunAsync(gateway, "out-of-memory.md", "Verify"));
    }

    [Fact(Timeout = Limit)]
    public async Task PortTaken_TheWholeRange_ItsCommandsBringItBackWhenItIsFree()
    {
        using var ports = PortBlock.Take();
        using var stranger = new TcpListener(IPAddress.Loopback, ports.First);
        stranger.Start();
        await using var gateway = await StartAsync($""" "Replicas": 1, "Ports": "{ports.First}-{ports.First}", "Restart": """ + """{ "InitialBackoff": "50ms" } """);
        await gateway.UntilAsync(status => status.Replica(Backend).State is "backoff" or "failed" or "queued", "the port to be taken", Ct);

        Assert.Contains($"{ports.First}", await RunAsync(gateway, "port-taken.md", "Diagnose"), StringComparison.Ordinal);
        stranger.Stop();
        await RunAsync(gateway, "port-taken.md", "Mitigate");
        AssertReady(await RunAsync(gateway, "port-taken.md", "Verify"));
    }

    [Fact(Timeout = Limit)]
    public async Task AllBackendsDown_StoppedByAPerson_ItsCommandsBringThemBack()
    {
        await using var gateway = await StartAsync(""" "Replicas": 1 """);
        await gateway.UntilReadyAsync(Ct);
        using var stopped = await gateway.Management.PostAsync(new Uri("api/replicas/demo/0/stop?wait=true", UriKind.Relative), null, Ct);
        using var notReady = await gateway.Management.GetAsync(new Uri("readyz", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, notReady.StatusCode);

        Assert.Contains("stopped", await RunAsync(gateway, "all-backends-down.md", "Diagnose"), StringComparison.Ordinal);
        await RunAsync(gateway, "all-backends-down.md", "Mitigate");
        AssertReady(await RunAsync(gateway, "all-backends-down.md", "Verify"));
        using var ready = await gateway.Management.GetAsync(new Uri("readyz", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
    }

    private static Task<GatewayProcess> StartAsync(string model) =>
        GatewayProcess.StartAsync($$"""{ "Models": { "demo": { "Kind": "simulator", {{model}} } } }""", Ct);

    private static async Task KillAsync(GatewayProcess gateway)
    {
        var status = await gateway.UntilAsync(status => status.Replica(Backend) is { State: "ready", Pid: not null }, "a process to kill", Ct);
        var pid = status.Replica(Backend).Pid!.Value;
        Process.GetProcessById(pid).Kill();
        await gateway.UntilAsync(status => status.Replica(Backend).Pid != pid, "its end to be noticed", Ct);
    }

    private static void AssertReady(string output) => Assert.Matches(@"(?m)^  demo/0 +ready ", output);

    /// <summary>Runs every command of one part of a page, in order, in a shell that stops at the first failure.</summary>
    private static async Task<string> RunAsync(GatewayProcess gateway, string page, string part)
    {
        var text = await File.ReadAllTextAsync(Path.Combine(Folder, page), Ct);
        var section = text[text.IndexOf($"## {part}", StringComparison.Ordinal)..];
        section = section[..(section.IndexOf("\n## ", StringComparison.Ordinal) is var end and >= 0 ? end : section.Length)];
        var commands = string.Concat(CodeBlock().Matches(section).Select(block => block.Groups[1].Value));
        Assert.NotEmpty(commands);
        var environment = new Dictionary<string, string?>
        {
            ["LLMGATEWAY_CONFIG"] = gateway.ConfigurationPath,
            ["MODEL"] = "demo",
            ["BACKEND"] = Backend,
            ["PATH"] = $"{Path.GetDirectoryName(GatewayProcess.Executable)}:{Environment.GetEnvironmentVariable("PATH")}",
        };
        await using var shell = ChildProcess.Start("bash", ["-ec", commands], environment, RepositoryPaths.Root);
        var exit = await shell.WaitForExitAsync(Ct, TimeSpan.FromSeconds(90));
        await shell.WaitForOutputAsync(Ct);
        Assert.True(exit == 0, $"{page}, {part}, exit {exit}:\n{shell.Output}");
        return shell.Output;
    }

    [GeneratedRegex("^```sh\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CodeBlock();
}
