using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>The verbs, their output and their exit codes.</summary>
public sealed class CommandLineTests
{
    private const int Limit = 60_000;
    private const int Unavailable = 69;
    private const int BadConfiguration = 78;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Check_Diff_ShowsWhatAReloadWouldTouch()
    {
        using var before = new GatewayFolder();
        using var after = new GatewayFolder();
        var old = before.Write("""{ "Models": { "a": { "Kind": "simulator", "Ports": "18100" }, "b": { "Kind": "simulator" }, "c": { "Kind": "simulator", "Ports": "18100" } } }""");
        var next = after.Write("""{ "Models": { "a": { "Kind": "simulator", "Ports": "18100", "Args": ["--seed", "1"] }, "c": { "Kind": "simulator", "Ports": "18100" }, "d": { "Kind": "simulator" } } }""");

        var (exit, output) = await RunAsync(["check", "--config", next, "--diff", old]);

        Assert.Equal(0, exit);
        foreach (var line in new[] { "+ d: new", "- b: drains and ends", "~ a: its backends are replaced one after another", "  c: unchanged", "! Gateway:StateDirectory: takes effect at the gateway's next start only" })
        {
            Assert.Contains(line, output, StringComparison.Ordinal);
        }
    }

    [Theory(Timeout = Limit)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Configuration_WithManyErrors_Is78AndTellsAllByTheirPaths(bool check)
    {
        using var folder = new GatewayFolder();
        var file = folder.Write(
            """
            {
              "Gateway": { "DrainTimeout": "soon", "MaxRequestBody": "32MB?" },
              "Models": {
                "a": { "Kind": "simulator", "Replicsa": 2 },
                "b": { "Kind": "simulator", "Slots": 0 },
                "c": { "Kind": "robot" } }
            }
            """);

        var (exit, output) = await RunAsync([.. check ? ["check"] : Array.Empty<string>(), "--config", file]);

        Assert.Equal(BadConfiguration, exit);
        Assert.Contains(file, output, StringComparison.Ordinal);
        foreach (var part in new[] { "Gateway:DrainTimeout", "soon", "Gateway:MaxRequestBody", "Models:a:Replicsa", "Replicas", "Models:b:Slots", "Models:c:Kind", "robot" })
        {
            Assert.Contains(part, output, StringComparison.Ordinal);
        }
    }

    [Theory(Timeout = Limit)]
    [InlineData("""{ "Models": { "a": { "Kind": "simulator" }, "b": { "Kind": "simulator", "Aliases": ["a"] } } }""", "Models:b:Aliases")]
    [InlineData("""{ "Gateway": { "Listen": "http://0.0.0.0:0" }, "Models": {} }""", "Gateway:Insecure")]
    [InlineData("""{ "Models": { "a": { "Kind": "remote" } } }""", "Models:a:Remotes")]
    public async Task Configuration_ThatContradictsItself_Is78(string configuration, string part)
    {
        using var folder = new GatewayFolder();
        var (exit, output) = await RunAsync(["--config", folder.Write(configuration)]);
        Assert.Equal(BadConfiguration, exit);
        Assert.Contains(part, output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Configuration_NoJson_Is78AndNamesThePlace()
    {
        using var folder = new GatewayFolder();
        var file = Path.Combine(folder.Path, "broken.json");
        await File.WriteAllTextAsync(file, "{\n  \"Models\": [,]\n}", Ct);
        var (exit, output) = await RunAsync(["check", "--config", file]);
        Assert.Equal(BadConfiguration, exit);
        Assert.Contains($"{file} line 2", output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Configuration_Missing_Is78AndNamesThePath()
    {
        using var folder = new GatewayFolder();
        var file = Path.Combine(folder.Path, "no-such.json");
        var (exit, output) = await RunAsync(["--config", file]);
        Assert.Equal(BadConfiguration, exit);
        Assert.Contains(file, output, StringComparison.Ordinal);
    }

    [Theory(Timeout = Limit)]
    [InlineData("Gateway:Listen")]
    [InlineData("Management:Listen")]
    public async Task Listener_AddressTaken_Is69NamesItAndLeavesNoChild(string listener)
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var address = $"http://127.0.0.1:{((IPEndPoint)taken.LocalEndpoint).Port}";
        using var folder = new GatewayFolder();
        var name = $"taken-{Guid.NewGuid():n}";
        var file = folder.Write($$"""{ "Models": { "{{name}}": { "Kind": "simulator" } } }""");

        var (exit, output) = await RunAsync(["--config", file, $"--{listener}={address}"]);

        Assert.Equal(Unavailable, exit);
        Assert.Contains(address, output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal); // a sentence, not a stack
        Assert.DoesNotContain(CommandLines(), line => line.Contains(name, StringComparison.Ordinal));
    }

    [Theory(Timeout = Limit)]
    [InlineData("Gateway:Listen")]
    [InlineData("Management:Listen")]
    public async Task Listener_AddressOfAnotherMachine_Is69AndNamesIt(string listener)
    {
        // Of the range that documents use: no machine has it.
        const string Address = "http://192.0.2.1:18080";
        using var folder = new GatewayFolder();
        var file = folder.Write("""{ "Gateway": { "Insecure": true }, "Models": { "m": { "Kind": "simulator" } } }""");

        var (exit, output) = await RunAsync(["--config", file, $"--{listener}={Address}"]);

        Assert.Equal(Unavailable, exit);
        Assert.Contains($"Failed to bind to address {Address}: ", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Management_TokenFileWithoutAFolder_IsMadeInTheWorkingDirectory()
    {
        using var folder = new GatewayFolder();
        var file = folder.Write("""{ "Management": { "TokenFile": "my.token" }, "Models": { "m": { "Kind": "simulator" } } }""");
        await using var gateway = ChildProcess.Start(GatewayProcess.Executable, ["--config", file], workingDirectory: folder.Path);
        await gateway.WaitForLineAsync(line => line.Contains("management", StringComparison.Ordinal), Ct, TimeSpan.FromSeconds(40));
        Assert.True(File.Exists(Path.Combine(folder.Path, "my.token")));
        gateway.Signal(15);
        Assert.Equal(0, await gateway.WaitForExitAsync(Ct, TimeSpan.FromSeconds(40)));
    }

    [Fact(Timeout = Limit)]
    public async Task Check_ValidConfiguration_PrintsThePlanWithTheFinalCommandLines()
    {
        using var folder = new GatewayFolder();
        var file = folder.Write(
            """
            { "Models": {
                "big": { "Aliases": ["gpt"], "Executable": "/opt/llama server/llama-server", "Args": ["-m", "models/big.gguf", "-c", "8192"], "Replicas": 2, "Slots": 3, "Ports": "25100-25199" },
                "far": { "Kind": "remote", "Remotes": [ { "Url": "http://10.0.0.7:8080", "Slots": 5 } ] },
                "sim": { "Kind": "simulator", "Transport": "unix" } } }
            """);

        var (exit, output) = await RunAsync(["check", "--config", file]);

        Assert.Equal(0, exit);
        Assert.Contains("big (also gpt): llama-server", output, StringComparison.Ordinal);
        var line = output.Split('\n').Single(line => line.TrimStart().StartsWith("big/1:", StringComparison.Ordinal));
        Assert.Contains("'/opt/llama server/llama-server' -m models/big.gguf -c 8192", line, StringComparison.Ordinal);
        foreach (var flag in new[] { "--host 127.0.0.1", "--port 25101", "--parallel 3", "--alias big", "--metrics", "--threads-http ", "--cache-ram ", "--threads ", "--sse-ping-interval ", "--offline" })
        {
            Assert.Contains(flag, line, StringComparison.Ordinal);
        }

        Assert.Contains("http://10.0.0.7:8080, 5 slots", output, StringComparison.Ordinal);
        Assert.Contains("sim/0: ", output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Check_ConfigurationOfTheRepository_IsFoundFromItsRoot()
    {
        var (exit, output) = await RunAsync(["check"], workingDirectory: RepositoryPaths.Root);
        Assert.Equal(0, exit);
        Assert.Contains(Path.Combine(RepositoryPaths.Root, "config", "gateway.json"), output, StringComparison.Ordinal);
        Assert.Contains("demo/1: ", output, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Check_OverridesFromEnvironmentAndCommandLine_TheLatterWins()
    {
        using var folder = new GatewayFolder();
        var file = folder.Write("""{ "Models": { "org/model:7b": { "Kind": "simulator", "Slots": 4 } } }""");
        var environment = new Dictionary<string, string?>
        {
            ["LLMGATEWAY_CONFIG"] = file,
            ["LLMGATEWAY__Models__org/model:7b__Slots"] = "7",
            ["LLMGATEWAY__Queue__Timeout"] = "17s",
            ["LLMGATEWAY__Queue__MaxDepth"] = "5",
        };

        var (exit, output) = await RunAsync(["check", "--Models:org/model:7b:Replicas=3", "--Queue:MaxDepth=11"], environment);

        Assert.Equal(0, exit);
        Assert.Contains("3 × 7 slots", output, StringComparison.Ordinal);
        Assert.Contains("up to 11 waiting, 17s for a slot", output, StringComparison.Ordinal);

        var (wrong, errors) = await RunAsync(["check", "--Queue:MaxDepht=11"], environment);
        Assert.Equal(BadConfiguration, wrong);
        Assert.Contains("MaxDepth", errors, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Key_Name_PrintsASecretAndTheEntryThatHoldsItsHash()
    {
        var (exit, output) = await RunAsync(["key", "team-a"]);
        var (_, other) = await RunAsync(["key", "team-a"]);

        Assert.Equal(0, exit);
        var secret = output.Split('\n')[0];
        var entry = JsonNode.Parse(output[secret.Length..])!;
        Assert.Matches("^sk-[A-Za-z0-9_-]{43,}$", secret);
        Assert.Equal("team-a", (string?)entry["Name"]);
        Assert.Equal("sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret))), (string?)entry["Hash"]);
        Assert.NotEqual(secret, other.Split('\n')[0]);

        using var folder = new GatewayFolder();
        var (valid, _) = await RunAsync(["check", "--config", folder.Write($$"""{ "Keys": [ {{entry.ToJsonString()}} ], "Models": {} }""")]);
        Assert.Equal(0, valid);
    }

    [Theory(Timeout = Limit)]
    [InlineData("a b")]
    [InlineData("a\"b")]
    [InlineData("")]
    public async Task Key_NameThatNoConfigurationTakes_Is78AndNoKey(string name)
    {
        var (exit, output) = await RunAsync(["key", name]);
        Assert.Equal(78, exit);
        Assert.DoesNotContain("sk-", output, StringComparison.Ordinal);
    }

    private static async Task<(int Exit, string Output)> RunAsync(
        IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null, string? workingDirectory = null)
    {
        await using var process = ChildProcess.Start(GatewayProcess.Executable, arguments, environment, workingDirectory);
        var exit = await process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(40));
        await process.WaitForOutputAsync(Ct);
        return (exit, process.Output);
    }

    private static IEnumerable<string> CommandLines() => Directory.EnumerateDirectories("/proc").Select(folder =>
    {
        try
        {
            return File.ReadAllText(Path.Combine(folder, "cmdline"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    });
}
