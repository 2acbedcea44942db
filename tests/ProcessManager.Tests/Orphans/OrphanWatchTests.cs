using System.Diagnostics;
using System.Text;
using CsCheck;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Orphans;
using LlmGateway.ProcessManager.Tests.Fakes;
using LlmGateway.TestKit.Fuzzing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LlmGateway.ProcessManager.Tests.Orphans;

/// <summary>Faults 20, 25 to 27, 30 to 33 and 40 of the catalogue, on the watch itself. EndToEnd.Tests has them on real gateways.</summary>
public sealed class OrphanWatchTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llmgw-state-").FullName;
    private readonly ScriptedSystem _system = new();
    private readonly ScriptedLauncher _launcher = new();
    private readonly CollectedLogs _logs = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private string Records => Path.Combine(_folder, "processes.json");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Fault26_GatewayDied_ItsChildIsKnownAgainAndEnded()
    {
        await LaunchAsync(pid: 50);
        Assert.Contains("\"m/0\"", await File.ReadAllTextAsync(Records, Ct), StringComparison.Ordinal);
        _system.Add(50, startedAt: 7, "/bin/setpriv", "--", "/bin/server", "--port", "1"); // the chain before it is no difference

        await Watch().ReapedAsync();

        Assert.Equal([(50, 7L)], _system.Killed);
    }

    [Fact]
    public async Task Fault31_NumberWasGivenOutAgain_NobodyIsSignalled()
    {
        await LaunchAsync(pid: 50);
        _system.Add(50, startedAt: 8, "/bin/server", "--port", "1");

        await Watch().ReapedAsync();

        Assert.Empty(_system.Killed);
    }

    [Fact]
    public async Task Fault31_SameNumberAndTimeButOtherArguments_NobodyIsSignalled()
    {
        await LaunchAsync(pid: 50);
        _system.Add(50, startedAt: 7, "/bin/bash");

        await Watch().ReapedAsync();

        Assert.Empty(_system.Killed);
    }

    [Fact]
    public async Task Fault32_MachineWasBootedInBetween_AllRecordsAreVoid()
    {
        await LaunchAsync(pid: 50);
        _system.Add(50, startedAt: 7, "/bin/server", "--port", "1");
        _system.BootId = "another";

        await Watch().ReapedAsync();

        Assert.Empty(_system.Killed);
    }

    [Fact]
    public async Task Fault27_NotWrittenDownYet_IsFoundByItsMark()
    {
        var mark = Assert.Single((await LaunchAsync(pid: 50)).Environment, variable => variable.Key == OrphanWatch.Mark).Value;
        File.Delete(Records);
        _system.AddMarked(60, startedAt: 9, environment: mark, "/bin/setpriv");
        _system.AddMarked(61, startedAt: 9, environment: new string('0', 64), "/bin/setpriv"); // another gateway's

        await Watch().ReapedAsync();

        Assert.Equal([(60, 9L)], _system.Killed);
    }

    [Fact]
    public async Task Fault33_StateFileOfAnyBytes_IsMadeAnew()
    {
        foreach (var text in new[] { "", "{", "null", "[]", "{}", "{\"Version\":9,\"BootId\":\"\",\"Processes\":[]}", "{\"Version\":1,\"BootId\":\"boot\",\"Processes\":null}", "{\"Version\":1,\"BootId\":\"boot\",\"Processes\":[null]}", "\0\0\0" })
        {
            await File.WriteAllTextAsync(Records, text, Ct);
            await Watch().ReapedAsync();
            await LaunchAsync(pid: 50);
            Assert.Contains("\"m/0\"", await File.ReadAllTextAsync(Records, Ct), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Fault33_StateFileOfRandomBytes_NeverThrowsAndSignalsNobody() => Gen.OneOf(Gen.Byte.Array[0, 200], Mutations.Of("records.txt")).Sample(
        bytes =>
        {
            // It lives, but its arguments are none that a mutant could name.
            _system.Add(50, startedAt: 7, "/bin/bash");
            File.WriteAllBytes(Records, bytes);
            Watch().ReapedAsync().GetAwaiter().GetResult();
            Assert.Empty(_system.Killed);
        },
        iter: 500,
        threads: 1);

    [Fact]
    public async Task Fault33_MarkIsGarbage_IsMadeAnew()
    {
        await LaunchAsync(pid: 50);
        await File.WriteAllTextAsync(Path.Combine(_folder, "process.mark"), "short", Ct);
        Assert.Equal(64, (await LaunchAsync(pid: 51)).Environment[OrphanWatch.Mark].Length);
    }

    [Fact]
    public async Task Fault40_StateFileCantBeWritten_NothingIsLaunchedAndTheReasonIsSaid()
    {
        using var watch = Watch();
        Directory.CreateDirectory(Records + ".unfinished"); // a folder in its place fails for root as well

        var e = await Assert.ThrowsAsync<StateFileException>(() => watch.LaunchAsync(Request(), Ct));

        Assert.Contains("Nothing new is started", e.Message, StringComparison.Ordinal);
        Assert.Empty(_launcher.Launched);
    }

    [Fact]
    public async Task Fault40_StateFileFailsAfterTheLaunch_TheChildDoesNotStay()
    {
        using var watch = Watch();
        _system.Add(_launcher.NextPid, startedAt: 7, "/bin/server");
        _launcher.OnLaunch = () => Directory.CreateDirectory(Records + ".unfinished");

        await Assert.ThrowsAsync<StateFileException>(() => watch.LaunchAsync(Request(), Ct));

        Assert.True(Assert.Single(_launcher.Launched).WasKilled);
    }

    [Fact]
    public async Task Ended_Child_LeavesTheNextRecord()
    {
        using var watch = Watch();
        _launcher.NextPid = 50;
        _system.Add(50, startedAt: 7, "/bin/server");
        await watch.LaunchAsync(Request(), Ct);
        _launcher.Launched[0].End();

        _launcher.NextPid = 51;
        _system.Add(51, startedAt: 7, "/bin/server");
        await watch.LaunchAsync(Request() with { Generation = 2 }, Ct);

        Assert.DoesNotContain("\"Pid\": 50", await File.ReadAllTextAsync(Records, Ct), StringComparison.Ordinal);
    }

    [Fact]
    public void StateFiles_Written_AreTheirOwnersAlone()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "modes are Unix's");
        Watch().Dispose();
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_folder, "process.mark")));
        }
    }

    [Fact]
    public void Fault30_FolderIsTaken_TheSecondIsRefusedAndTheNextIsNot()
    {
        using (StateDirectory.Take(_folder))
        {
            var e = Assert.Throws<IOException>(() => StateDirectory.Take(_folder));
            Assert.Contains("another gateway", e.Message, StringComparison.Ordinal);
            Assert.Contains(_folder, e.Message, StringComparison.Ordinal);
        }

        StateDirectory.Take(_folder).Dispose();
    }

    [Fact]
    public async Task Fault25_RealChildThatLostItsGateway_IsFoundByItsMarkAndEnded()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux tells environments");
        var mark = (await LaunchAsync(pid: 50)).Environment[OrphanWatch.Mark];
        using var orphan = Start("setsid", mark, "sleep", "1000");
        using var stranger = Start("sleep", new string('0', 64), "1000");
        File.Delete(Records);
        var real = new LinuxProcesses();
        while (!real.WithEnvironment($"{OrphanWatch.Mark}={mark}").Contains(orphan.Id)) // not before its exec
        {
            await Task.Yield();
        }

        using (var watch = new OrphanWatch(_folder, _launcher, real, TimeProvider.System, Logger()))
        {
            await watch.ReapedAsync();
        }

        Assert.True(orphan.WaitForExit(TimeSpan.FromSeconds(20)));
        Assert.False(stranger.HasExited);
        stranger.Kill();

        static Process Start(string program, string mark, params string[] arguments)
        {
            var info = new ProcessStartInfo(program) { Environment = { [OrphanWatch.Mark] = mark } };
            Array.ForEach(arguments, info.ArgumentList.Add);
            return Process.Start(info)!;
        }
    }

    [Fact]
    public void Kill_RealProcessStartedAtAnotherTime_IsLeftAlone()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux's way");
        using var process = Process.Start("sleep", "1000");
        var system = new LinuxProcesses();
        var startedAt = system.StartedAt(process.Id)!.Value;

        system.Kill(process.Id, startedAt + 1);
        Assert.False(process.WaitForExit(100));
        system.Kill(process.Id, startedAt);
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void Portable_RealProcess_IsKnownByItsStartAndEnded()
    {
        using var process = Process.Start("sleep", "1000");
        var system = new PortableProcesses();
        var startedAt = system.StartedAt(process.Id)!.Value;
        system.Kill(process.Id, startedAt - 1);
        Assert.False(process.HasExited);
        system.Kill(process.Id, startedAt);
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(20)));
        Assert.Null(system.StartedAt(int.MaxValue));
    }

    [Theory]
    [InlineData("A=1\0B=2\0", "B=2", true)]
    [InlineData("B=2\0", "B=2", true)]
    [InlineData("A=1\0AB=2\0", "B=2", false)]
    [InlineData("B=22\0", "B=2", false)]
    [InlineData("", "B=2", false)]
    public void Holds_Environment_KnowsWholeEntries(string environment, string entry, bool holds) =>
        Assert.Equal(holds, LinuxProcesses.Holds(Encoding.UTF8.GetBytes(environment), Encoding.UTF8.GetBytes(entry + '\0')));

    private static LaunchRequest Request() => new("m/0", "/bin/server", ["--port", "1"], new Dictionary<string, string>(), null, _ => { }) { Generation = 1, Address = "here" };

    private Logger<OrphanWatch> Logger() => new Logger<OrphanWatch>(_logs);

    private OrphanWatch Watch() => new(_folder, _launcher, _system, TimeProvider.System, Logger());

    /// <summary>One launch by a gateway that dies afterwards: its process is gone, until a test says otherwise.</summary>
    private async Task<LaunchRequest> LaunchAsync(int pid)
    {
        _launcher.NextPid = pid;
        _system.Add(pid, startedAt: 7, "/bin/server", "--port", "1");
        await new OrphanWatch(_folder, _launcher, _system, TimeProvider.System, NullLogger<OrphanWatch>.Instance).LaunchAsync(Request(), Ct);
        _system.Clear();
        return _launcher.Requests[^1];
    }

    private sealed class ScriptedLauncher : ILauncher
    {
        public int NextPid { get; set; } = 1000;

        public Action? OnLaunch { get; set; }

        public List<LaunchRequest> Requests { get; } = [];

        public List<ScriptedChild> Launched { get; } = [];

        public Task<IChildProcess> LaunchAsync(LaunchRequest request, CancellationToken cancellationToken)
        {
            Requests.Add(request);
            Launched.Add(new(NextPid));
            OnLaunch?.Invoke();
            return Task.FromResult<IChildProcess>(Launched[^1]);
        }
    }

    private sealed class ScriptedChild(int pid) : IChildProcess
    {
        private readonly TaskCompletionSource<int> _ended = new();

        public int Pid => pid;

        public Task<int> Ended => _ended.Task;

        public bool WasKilled { get; private set; }

        public void End() => _ended.TrySetResult(0);

        public void Terminate()
        {
        }

        public void Kill()
        {
            WasKilled = true;
            End();
        }

        public Task CleanUpAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ProgressSample Sample() => default;

        public void Continue()
        {
        }

        public ProcessLook Look(bool wholeGroup) => default;

        public void Dispose()
        {
        }
    }

    private sealed class ScriptedSystem : ISystemProcesses
    {
        private readonly Dictionary<int, (long StartedAt, string? Mark, string[] Arguments)> _living = [];

        public string BootId { get; set; } = "boot";

        public List<(int Pid, long StartedAt)> Killed { get; } = [];

        public void Add(int pid, long startedAt, params string[] arguments) => _living[pid] = (startedAt, null, arguments);

        public void AddMarked(int pid, long startedAt, string environment, params string[] arguments) => _living[pid] = (startedAt, environment, arguments);

        public void Clear() => _living.Clear();

        public long? StartedAt(int pid) => _living.TryGetValue(pid, out var process) ? process.StartedAt : null;

        public byte[]? CommandLine(int pid) => ProcessRecord.Block(_living[pid].Arguments);

        public IEnumerable<int> WithEnvironment(string entry) => [.. _living.Where(process => $"{OrphanWatch.Mark}={process.Value.Mark}" == entry).Select(process => process.Key)];

        public void Kill(int pid, long startedAt)
        {
            Assert.Equal(_living[pid].StartedAt, startedAt);
            Killed.Add((pid, startedAt));
            _living.Remove(pid);
        }
    }
}
