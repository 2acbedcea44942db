using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Sampling.Gpus;

namespace LlmGateway.ProcessManager.Tests.Sampling;

/// <summary>The kernel's files as they really look, put into a folder.</summary>
public sealed class LinuxReadersTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("llmgw-proc-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void Read_KernelFiles_AreAllUnderstood()
    {
        AddProcess(7, group: 7, user: 250, system: 50, start: 9000, state: 'S');
        Write("7/status", "Name:\tllama server\nVmPeak:\t  999 kB\nVmRSS:\t  110464 kB\nRssAnon:\t   20480 kB\nRssFile:\t   89984 kB\nRssShmem:\t       0 kB\n");
        Write("7/io", "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 117440512\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
        Write("7/fd/0", "");
        Write("7/fd/1", "");

        Assert.Equal(
            new ProcessReading(7, 9000, false, TimeSpan.FromSeconds(3), 110464 * 1024, 20480 * 1024, 89984 * 1024, 117440512, 2),
            new LinuxProcessReader(_root).Read(7));
    }

    [Theory]
    [InlineData('T', true)]
    [InlineData('t', true)]
    [InlineData('R', false)]
    public void Read_State_TellsAStoppedProcess(char state, bool stopped)
    {
        AddProcess(7, group: 7, state: state);
        Assert.Equal(stopped, new LinuxProcessReader(_root).Read(7)!.Value.IsStopped);
    }

    [Fact]
    public void Read_OnlyStatMayBeSeen_TheRestIsUnknownAndNotZero()
    {
        AddProcess(7, group: 7, pages: 10);
        Assert.Equal(
            new ProcessReading(7, 0, false, TimeSpan.Zero, 10 * Environment.SystemPageSize, null, null, null, null),
            new LinuxProcessReader(_root).Read(7));
    }

    [Fact]
    public void Read_EndedOrZombie_IsNull()
    {
        AddProcess(7, group: 7, state: 'Z');
        Assert.Null(new LinuxProcessReader(_root).Read(7));
        Assert.Null(new LinuxProcessReader(_root).Read(8));
    }

    [Fact]
    public void Members_ManyProcesses_AreThoseOfTheGroupsThatLive()
    {
        AddProcess(7, group: 7);
        AddProcess(8, group: 7);
        AddProcess(9, group: 7, state: 'Z');
        AddProcess(10, group: 10);
        Write("self-no-number/stat", "");

        var members = new LinuxProcessReader(_root).Members(new HashSet<int> { 7, 11 });

        Assert.Equal([7, 8], members[7].Order());
        Assert.Single(members);
    }

    [Fact]
    public void Host_KernelFiles_AreAllUnderstood()
    {
        Write("meminfo", "MemTotal:       16384000 kB\nMemFree:         1000000 kB\nMemAvailable:    8192000 kB\n");
        Write("pressure/memory", "some avg10=1.50 avg60=0.20 avg300=0.00 total=123\nfull avg10=0.25 avg60=0.10 avg300=0.00 total=45\n");
        Write("pressure/cpu", "some avg10=40.00 avg60=0.20 avg300=0.00 total=123\n");

        var host = new HostReader(_root, Path.Combine(_root, "cgroups")).Read();

        Assert.Equal((16384000L * 1024, 8192000L * 1024), (host.MemoryTotalBytes, host.MemoryAvailableBytes));
        Assert.Equal(new Pressure(0.015, 0.0025), host.Memory);
        Assert.Equal(new Pressure(0.4, 0), host.Cpu);
        Assert.Null(host.Io);
        Assert.Null(host.CgroupLimitBytes);
    }

    [Fact]
    public void Host_NestedCgroups_TheTightestLimitCounts()
    {
        Write("meminfo", "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\n");
        Write("self/cgroup", "9:name=systemd:/\n0::/system.slice/gateway.service\n");
        Write("cgroups/system.slice/memory.max", "4294967296\n");
        Write("cgroups/system.slice/memory.current", "1073741824\n");
        Write("cgroups/system.slice/gateway.service/memory.max", "max\n");
        Write("cgroups/system.slice/gateway.service/memory.current", "536870912\n");
        Write("cgroups/system.slice/gateway.service/memory.events", "low 0\nhigh 3\nmax 2\noom 1\noom_kill 4\noom_group_kill 0\n");

        var host = new HostReader(_root, Path.Combine(_root, "cgroups")).Read();

        Assert.Equal((4294967296, 1073741824, 4), (host.CgroupLimitBytes, host.CgroupUsedBytes, host.CgroupOomKills));
        Assert.Equal((4294967296, 3221225472), (host.MemoryTotalBytes, host.MemoryAvailableBytes));
    }

    [Fact]
    public void Smi_ItsOutput_IsUnderstoodAndTheUnknownStaysUnknown() => Assert.Equal(
        [
            new("0", "NVIDIA H100 80GB HBM3", 0.37, 10240L << 20, 81559L << 20),
            new("1", "Odd, with commas", null, null, 8192L << 20),
        ],
        NvidiaSmi.Parse("0, 37, 10240, 81559, NVIDIA H100 80GB HBM3\n1, [N/A], [Not Supported], 8192, Odd, with commas\nNo devices were found\n"));

    [Fact]
    public void Amd_CardsAndConnectors_OnlyCardsWithMemoryCount()
    {
        Write("card0/device/mem_info_vram_total", "17163091968\n");
        Write("card0/device/mem_info_vram_used", "1000000\n");
        Write("card0/device/gpu_busy_percent", "12\n");
        Write("card0-DP-1/device/mem_info_vram_total", "1\n");
        Write("card1/device/vendor", "0x8086\n");

        Assert.Equal([new GpuSample("0", null, 0.12, 1000000, 17163091968)], new AmdSysfs(_root).Read());
        Assert.Null(AmdSysfs.TryFind(Path.Combine(_root, "none")));
    }

    [Fact]
    public void Own_RealFiles_TellSomethingOfThisProcess()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "these are Linux's files");
        var reading = new LinuxProcessReader().Read(Environment.ProcessId)!.Value;

        Assert.InRange(reading.ResidentBytes, 1 << 20, 1L << 40);
        Assert.InRange(reading.AnonymousBytes!.Value + reading.FileBytes!.Value, reading.ResidentBytes / 2, reading.ResidentBytes);
        Assert.True(reading.OpenFiles > 2);
        Assert.True(new HostReader().Read().MemoryAvailableBytes > 0);
    }

    [Fact]
    public void Portable_ThisProcess_IsSeenAndAnEndedOneIsNot()
    {
        Assert.True(new PortableProcessReader().Read(Environment.ProcessId)!.Value.ResidentBytes > 1 << 20);
        Assert.Null(new PortableProcessReader().Read(int.MaxValue));
    }

    private void AddProcess(int pid, int group, long user = 0, long system = 0, long start = 0, char state = 'S', long pages = 100) =>
        Write($"{pid}/stat", $"{pid} (llama (server) x) {state} 1 {group} {group} 0 -1 4194304 10 0 0 0 {user} {system} 0 0 20 0 1 0 {start} 1000 {pages} 18446744073709551615\n");

    private void Write(string path, string text)
    {
        var full = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, text);
    }
}
