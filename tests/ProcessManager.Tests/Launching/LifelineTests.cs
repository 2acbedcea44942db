using System.Collections.Concurrent;
using System.Globalization;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Tests.Fakes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.ProcessManager.Tests.Launching;

/// <summary>macOS' way of launching, which works wherever there is bash.</summary>
public sealed class LifelineTests : IDisposable
{
    private readonly Launcher _launcher = new(() => LaunchChain.Lifeline("/bin/bash"));
    private readonly ScriptServer _files = new();
    private readonly ConcurrentQueue<string> _lines = new();

    public LifelineTests() => Assert.SkipUnless(OperatingSystem.IsLinux() && File.Exists("/bin/bash"), "needs bash, and Linux to tell who lives");

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _launcher.Dispose();
        _files.Dispose();
    }

    [Theory]
    [InlineData("exit 0", 0)]
    [InlineData("exit 7", 7)]
    [InlineData("kill -9 $$", 137)]
    [InlineData("echo said; echo said >&2; exit 3", 3)]
    public async Task Ended_Script_TellsItsCode(string script, int code)
    {
        using var child = await LaunchAsync(script);
        Assert.Equal(code, await child.Ended.WaitAsync(Ct));
        await child.CleanUpAsync(Ct);
        Assert.All(_lines, line => Assert.Equal("said", line)); // the shell in between says nothing of its own
    }

    [Fact]
    public async Task Launch_Child_HasNoInputAndKeepsItsArguments()
    {
        using var child = await _launcher.LaunchAsync(Request("read x || echo \"end of file $1 $2\"") with { Arguments = ["-c", "read x || echo \"end of file $1 $2\"", "sh", "a b", "$c\""] }, Ct);
        await child.Ended.WaitAsync(Ct);
        await child.CleanUpAsync(Ct);
        Assert.Equal("end of file a b $c\"", Assert.Single(_lines));
    }

    [Fact]
    public async Task Terminate_Child_HearsItAndMayTakeItsTime()
    {
        using var child = await LaunchAsync("trap 'echo ending; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
        await UntilSaid("ready");
        child.Terminate();
        Assert.Equal(5, await child.Ended.WaitAsync(TimeSpan.FromSeconds(20), Ct));
        await child.CleanUpAsync(Ct);
        Assert.Contains("ending", _lines);
    }

    [Fact]
    public async Task Kill_DeafAndStoppedWithAGrandchild_EndsAllOfIt()
    {
        using var child = await LaunchAsync("trap '' TERM; sleep 1000 & echo $!; echo $$; kill -STOP $$");
        await Eventually.TrueAsync(() => _lines.Count == 2, "both pids", Ct);
        var family = _lines.Select(line => ProcessIdentity.Of(int.Parse(line, CultureInfo.InvariantCulture))!.Value).ToArray();
        child.Terminate();
        child.Kill();
        Assert.Equal(137, await child.Ended.WaitAsync(TimeSpan.FromSeconds(20), Ct));
        await Eventually.TrueAsync(() => !family.Any(one => one.IsAlive), "nobody", Ct);
        await child.CleanUpAsync(Ct);
    }

    [Fact]
    public async Task Child_EndsAndLeavesAGrandchild_WhichIsEnded()
    {
        using var child = await LaunchAsync("sleep 1000 & echo $!; exit 4");
        Assert.Equal(4, await child.Ended.WaitAsync(TimeSpan.FromSeconds(20), Ct));
        await child.CleanUpAsync(Ct);
        var grandchild = int.Parse(Assert.Single(_lines), CultureInfo.InvariantCulture);
        await Eventually.TrueAsync(() => ProcessIdentity.Of(grandchild) is null, "no grandchild", Ct);
    }

    [Fact]
    public async Task Shell_IsKilledAlone_TheChildGoesAllTheSame()
    {
        using var child = await LaunchAsync("echo $$; sleep 1000");
        await Eventually.TrueAsync(() => _lines.Count == 1, "its pid", Ct);
        var own = ProcessIdentity.Of(int.Parse(_lines.First(), CultureInfo.InvariantCulture))!.Value;
        Signals.ToProcess(child.Pid, Signals.Kill);
        Assert.Equal(137, await child.Ended.WaitAsync(TimeSpan.FromSeconds(20), Ct));
        await child.CleanUpAsync(Ct);
        await Eventually.TrueAsync(() => !own.IsAlive, "no child", Ct);
    }

    private Task UntilSaid(string line) => Eventually.TrueAsync(() => _lines.Contains(line), line, Ct);

    private Task<IChildProcess> LaunchAsync(string script) => _launcher.LaunchAsync(Request(script), Ct);

    private LaunchRequest Request(string script) => new("m/0", "/bin/sh", ["-c", script], new Dictionary<string, string>(), _files.Folder, _lines.Enqueue);
}
