using System.Text;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A gateway that is killed leaves nothing behind: at once, or at the latest when the next one starts.</summary>
public sealed class OrphanTests : IDisposable
{
    private const int Kill = 9;
    private const string Ready = "  management ";
    private const string FourChildren = """{ "Models": { "demo": { "Kind": "simulator", "Replicas": 4 } } }""";
    private static readonly TimeSpan OneSecond = TimeSpan.FromSeconds(1);

    private readonly GatewayFolder _folder = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact(Timeout = 90_000)]
    public async Task Fault26_GatewayIsKilled_ItsChildrenAreGoneWithinASecond()
    {
        await using var gateway = await GatewayProcess.StartAsync(FourChildren, Ct);
        await gateway.UntilReadyAsync(Ct);
        var children = gateway.Descendants();
        Assert.Equal(4, children.Count);

        gateway.Process.Signal(Kill);

        await Eventually.TrueAsync(() => !children.Any(child => child.IsAlive), "no child", Ct, OneSecond);
    }

    [Fact(Timeout = 90_000)]
    public async Task Fault27_GatewayIsKilledBeforeAChildIsTiedToIt_TheNextOneEndsIt()
    {
        // A setpriv that waits for its gateway's death: the child is there, and has not asked for its parent-death signal yet.
        var slow = Path.Combine(_folder.Path, "slow");
        Directory.CreateDirectory(slow);
        var isDead = Path.Combine(slow, "gateway-is-dead");
        Script.Write(
            Path.Combine(slow, "setpriv"),
            $$"""
            #!/bin/sh
            case "$*" in *llama-simulator*)
                for i in $(seq 1000); do [ -e '{{isDead}}' ] && break; sleep 0.05; done
            esac
            PATH=/usr/sbin:/usr/bin:/sbin:/bin exec setpriv "$@"

            """);
        var config = _folder.Write("""{ "Models": { "demo": { "Kind": "simulator" } } }""");
        ProcessIdentity orphan;
        await using (var first = Start(config, new() { ["PATH"] = $"{slow}:{Environment.GetEnvironmentVariable("PATH")}" }))
        {
            orphan = (await Eventually.GetAsync(() => Task.FromResult(Marked().Where(IsServer).ToList()), marked => marked.Count > 0, "a child", Ct, TimeSpan.FromSeconds(60)))[0];
            first.Signal(Kill);
            await first.WaitForExitAsync(Ct, TimeSpan.FromSeconds(20));
        }

        await File.WriteAllTextAsync(isDead, "", Ct);
        await Eventually.TrueAsync(() => IsServer(orphan) && !CommandLine(orphan).Contains("setpriv", StringComparison.Ordinal), "the orphan to have become a server", Ct, TimeSpan.FromSeconds(30));
        Assert.True(orphan.IsAlive);

        await using var second = Start(config);
        await second.WaitForLineAsync(line => line.StartsWith(Ready, StringComparison.Ordinal), Ct, TimeSpan.FromSeconds(60));
        await Eventually.TrueAsync(() => !orphan.IsAlive, "the orphan to be gone", Ct, TimeSpan.FromSeconds(20));
        await second.WaitForLineAsync(line => line.Contains($"left pid {orphan.Pid} behind", StringComparison.Ordinal), Ct);
        second.Signal(15);
        Assert.Equal(0, await second.WaitForExitAsync(Ct, TimeSpan.FromSeconds(30)));
    }

    [Fact(Timeout = 90_000)]
    public async Task Fault30_SecondGatewayInOneStateDirectory_RefusesWith78AndHarmsNobody()
    {
        var config = _folder.Write("""{ "Models": { "demo": { "Kind": "simulator" } } }""");
        await using var first = Start(config);
        await first.WaitForLineAsync(line => line.StartsWith(Ready, StringComparison.Ordinal), Ct, TimeSpan.FromSeconds(60));
        var child = (await Eventually.GetAsync(() => Task.FromResult(Marked()), marked => marked.Count > 0, "a child", Ct))[0];

        await using var second = Start(config);

        Assert.Equal(78, await second.WaitForExitAsync(Ct, TimeSpan.FromSeconds(60)));
        await second.WaitForOutputAsync(Ct);
        Assert.Contains("another gateway", second.Output, StringComparison.Ordinal);
        Assert.Contains(_folder.StateDirectory, second.Output, StringComparison.Ordinal);
        Assert.True(child.IsAlive);
        first.Signal(15);
        Assert.Equal(0, await first.WaitForExitAsync(Ct, TimeSpan.FromSeconds(30)));
    }

    [Fact(Timeout = 300_000)]
    public Task Fault26_KilledAtAnyMoment_LeavesNothing() => KillAtAnyMomentAsync(20);

    [Fact(Timeout = 7_200_000)] // half an hour on a machine of its own
    [Trait("Suite", "Long")]
    public Task Fault26_KilledAtAnyMomentAThousandTimes_LeavesNothing() => KillAtAnyMomentAsync(1_000);

    private async Task KillAtAnyMomentAsync(int times)
    {
        var config = _folder.Write(FourChildren);
        var seed = Environment.TickCount;
        var random = new Random(seed);
        var late = 0;
        for (var i = 0; i < times; i++)
        {
            await using var gateway = Start(config);
            var patience = TimeSpan.FromMilliseconds(random.Next(0, 1_500));
            try
            {
                // Mostly while children are being launched; sometimes before the first, sometimes after the last.
                await gateway.WaitForLineAsync(_ => false, Ct, patience);
            }
            catch (TimeoutException)
            {
                Assert.False(gateway.HasExited, gateway.Output);
            }

            gateway.Signal(Kill);
            await gateway.WaitForExitAsync(Ct, TimeSpan.FromSeconds(20));
            try
            {
                await Eventually.TrueAsync(() => Marked().Count == 0, "no child", Ct, OneSecond);
            }
            catch (TimeoutException)
            {
                late++; // killed between the birth of a child and its asking for the signal: the next gateway's business
            }
        }

        await using (var last = Start(config))
        {
            await last.WaitForLineAsync(line => line.StartsWith(Ready, StringComparison.Ordinal), Ct, TimeSpan.FromSeconds(60));
            last.Signal(15);
            Assert.Equal(0, await last.WaitForExitAsync(Ct, TimeSpan.FromSeconds(60)));
        }

        Assert.Empty(Marked());
        Assert.InRange(late, 0, Math.Max(1, times / 50));
        TestContext.Current.TestOutputHelper?.WriteLine($"{times} kills (seed {seed}): {late} left a child for the next gateway, none after it");
    }

    /// <summary>A server or the shell that is about to become one; not that shell's sleep, which bears the mark, too.</summary>
    private static bool IsServer(ProcessIdentity process) => CommandLine(process).Contains("llama-simulator", StringComparison.Ordinal);

    private static string CommandLine(ProcessIdentity process)
    {
        try
        {
            return File.ReadAllText($"/proc/{process.Pid}/cmdline");
        }
        catch (IOException)
        {
            return "";
        }
    }

    private ChildProcess Start(string config, Dictionary<string, string?>? environment = null) =>
        ChildProcess.Start(GatewayProcess.Executable, ["--config", config], environment, _folder.Path);

    /// <summary>Living processes that carry the mark of this state directory, whoever their parent is.</summary>
    private List<ProcessIdentity> Marked()
    {
        var file = Path.Combine(_folder.StateDirectory, "process.mark");
        if (!File.Exists(file))
        {
            return [];
        }

        var mark = Encoding.ASCII.GetBytes($"LLMGATEWAY_PROCESS_MARK={File.ReadAllText(file)}");
        var found = new List<ProcessIdentity>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            try
            {
                if (int.TryParse(Path.GetFileName(folder), out var pid) && File.ReadAllBytes(folder + "/environ").AsSpan().IndexOf(mark) >= 0
                    && ProcessIdentity.Of(pid) is { } identity)
                {
                    found.Add(identity);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Ended, or somebody else's.
            }
        }

        return found;
    }
}
