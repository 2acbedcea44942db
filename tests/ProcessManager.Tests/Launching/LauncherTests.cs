using System.Collections.Concurrent;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class LauncherTests : IDisposable
{
    private readonly Launcher _launcher = new(NullLogger<Launcher>.Instance);
    private readonly ScriptServer _files = new();
    private readonly ConcurrentQueue<string> _lines = new();

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
    [InlineData("kill -15 $$", 143)]
    public async Task Ended_Script_TellsItsCode(string script, int code)
    {
        using var child = await LaunchAsync(script);
        Assert.Equal(code, await child.Ended.WaitAsync(Ct));
    }

    [Fact]
    public async Task Launch_Linux_LeadsAGroupWithoutNewPrivilegesOrDumps()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the launch chain is Linux's");
        using var child = await LaunchAsync("grep NoNewPrivs /proc/self/status; ulimit -c; cat /proc/self/oom_score_adj; cut -d' ' -f1,5,6 /proc/$$/stat; env | sort; read x || echo eof");
        await child.Ended.WaitAsync(Ct);
        await child.CleanUpAsync(Ct);

        Assert.Equal(
            ["NoNewPrivs:\t1", "0", "500", $"{child.Pid} {child.Pid} {child.Pid}", "A=1"],
            _lines.Where(line => !line.StartsWith("PWD=", StringComparison.Ordinal) && !line.StartsWith("_=", StringComparison.Ordinal)
                && !line.StartsWith("SHLVL=", StringComparison.Ordinal) && !line.StartsWith("OLDPWD", StringComparison.Ordinal) && line != "eof"));
        Assert.Contains("eof", _lines); // nothing to read: an end of file, not a hang
    }

    [Fact]
    public async Task Launch_FloodOfOutput_NeverBlocksTheChild()
    {
        using var child = await LaunchAsync("head -c 20000000 /dev/zero | tr '\\0' 'x'; i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; exit 5");
        Assert.Equal(5, await child.Ended.WaitAsync(Ct));
        await child.CleanUpAsync(Ct);
        Assert.Equal("19999", _lines.Last());
    }

    [Fact]
    public async Task Fault23_CleanUp_GrandchildInTheGroup_IsGone()
    {
        using var child = await LaunchAsync("sleep 1000 & exit 3");
        Assert.Equal(3, await child.Ended.WaitAsync(Ct));
        await child.CleanUpAsync(Ct);
        Assert.Empty(ProcFs.Group(child.Pid));
    }

    [Fact]
    public async Task CleanUp_GrandchildLeftTheGroupWithThePipe_IsNotWaitedFor()
    {
        using var child = await LaunchAsync("mkfifo said; setsid sh -c 'echo $$; echo > said; exec sleep 1000' & read x < said; exit 3");
        Assert.Equal(3, await child.Ended.WaitAsync(Ct));
        await child.CleanUpAsync(Ct).WaitAsync(TimeSpan.FromSeconds(20), Ct);
        Signals.ToProcess(int.Parse(_lines.First(), System.Globalization.CultureInfo.InvariantCulture), Signals.Kill);
    }

    [Fact]
    public async Task Kill_JustLaunched_ReachesItBeforeItHasAGroup()
    {
        for (var i = 0; i < 20; i++)
        {
            using var child = await LaunchAsync("sleep 1000");
            child.Kill();
            Assert.Equal(137, await child.Ended.WaitAsync(Ct));
            await child.CleanUpAsync(Ct);
            Assert.Empty(ProcFs.Group(child.Pid));
        }
    }

    [Fact]
    public async Task Kill_Ended_SignalsNobody()
    {
        using var child = await LaunchAsync("exit 0");
        await child.Ended.WaitAsync(Ct);
        child.Terminate();
        child.Kill();
    }

    [Fact]
    public async Task Fault22_Launch_ManyShortLives_LeavesNoZombie()
    {
        var children = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => LaunchAsync("exit 0")));
        foreach (var child in children)
        {
            await child.Ended.WaitAsync(Ct);
            Assert.False(Directory.Exists($"/proc/{child.Pid}"));
            child.Dispose();
        }
    }

    [Fact]
    public async Task Dispose_LauncherIsGone_ItsChildrenDieWithItsThread()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the parent-death signal is Linux's");
        IChildProcess child;
        var said = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (var launcher = new Launcher(NullLogger<Launcher>.Instance))
        {
            child = await launcher.LaunchAsync(Request("echo here; sleep 1000") with { OnLine = _ => said.TrySetResult() }, Ct);
            await said.Task.WaitAsync(Ct); // past setpriv: before it, a child has not asked for the signal yet
        }

        Assert.Equal(137, await child.Ended.WaitAsync(TimeSpan.FromSeconds(20), Ct));
        await child.CleanUpAsync(Ct);
    }

    private Task<IChildProcess> LaunchAsync(string script) => _launcher.LaunchAsync(Request(script), Ct);

    private LaunchRequest Request(string script) => new(
        "m/0", "/bin/sh", ["-c", script], new Dictionary<string, string> { ["A"] = "1" }, _files.Folder, _lines.Enqueue);
}
