using System.Text;
using CsCheck;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Tests.Fakes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.ProcessManager.Tests.Launching;

/// <summary>Faults 40 and 41 of the catalogue: disk full, and more output than the disk takes.</summary>
public sealed class OutputFilesTests : IDisposable
{
    private static readonly DateTimeOffset At = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);
    private readonly string _folder = Directory.CreateTempSubdirectory("llmgw-logs-").FullName;
    private readonly FakeTimeProvider _time = new();
    private readonly CollectedLogs _logs = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Add_Lines_AreInTheFileWithTimeAndGeneration()
    {
        using (var files = Files())
        {
            var file = files.Open("org/model:q4", 1);
            file.Add(At, 3, "hello");
            file.Add(At, 3, "grün");
        }

        Assert.Equal(["2026-01-02T03:04:05.000Z [3] hello", "2026-01-02T03:04:05.000Z [3] grün"], File.ReadLines(Path.Combine(_folder, "org%2Fmodel%3Aq4-1.log")));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_folder, "org%2Fmodel%3Aq4-1.log")));
        }
    }

    [Fact]
    public void Add_MoreThanOneFileHolds_IsRotatedAndTheOldestGoes()
    {
        using var work = new AutoResetEvent(false);
        using var file = new OutputFile(Path.Combine(_folder, "m-0.log"), new(100, 3), work);
        for (var i = 0; i < 10; i++)
        {
            file.Add(At, 1, new string((char)('a' + i), 60));
            file.WriteWaiting();
        }

        file.Dispose();
        Assert.Equal(["m-0.1.log", "m-0.2.log", "m-0.log"], Directory.EnumerateFiles(_folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.EndsWith("jjj", File.ReadAllText(Path.Combine(_folder, "m-0.log")).TrimEnd(), StringComparison.Ordinal);
        Assert.EndsWith("iii", File.ReadAllText(Path.Combine(_folder, "m-0.1.log")).TrimEnd(), StringComparison.Ordinal);
        Assert.EndsWith("hhh", File.ReadAllText(Path.Combine(_folder, "m-0.2.log")).TrimEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public void Fault41_FasterThanTheDisk_DropsTheOldestAndSaysSoInTheFile()
    {
        using var work = new AutoResetEvent(false);
        using var file = new OutputFile(Path.Combine(_folder, "m-0.log"), OutputFileLimits.Default, work);
        for (var i = 0; i < OutputFiles.MostWaiting + 10; i++)
        {
            file.Add(At, 1, $"line {i}");
        }

        file.WriteWaiting();
        file.Dispose();

        var lines = File.ReadAllLines(Path.Combine(_folder, "m-0.log"));
        Assert.Equal(10, file.Dropped);
        Assert.Contains("10 lines were dropped", lines[0], StringComparison.Ordinal);
        Assert.EndsWith("line 10", lines[1], StringComparison.Ordinal);
        Assert.Equal(OutputFiles.MostWaiting + 1, lines.Length);
    }

    [Fact]
    public void Fault40_DiskIsFull_IsSaidOnceAMinuteAndLinesAreCounted()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "Linux has a device that is always full");
        using var files = Files();
        File.CreateSymbolicLink(Path.Combine(_folder, "m-0.log"), "/dev/full");
        var file = files.Open("m", 0);

        // A line is counted a moment before it is told of.
        Lose(1);
        Told(1);
        Lose(2);
        Assert.Contains("m-0.log", Assert.Single(_logs.Lines), StringComparison.Ordinal);

        _time.Advance(TimeSpan.FromMinutes(1));
        Lose(3);
        Told(2);

        // The disk has room again.
        File.Delete(Path.Combine(_folder, "m-0.log"));
        file.Add(At, 1, "back");
        Assert.True(SpinWait.SpinUntil(() => File.Exists(file.Path) && File.ReadAllText(file.Path).Contains("back", StringComparison.Ordinal), TimeSpan.FromSeconds(20)));

        Assert.Equal(2, _logs.Lines.Count);

        void Told(int times) => Assert.True(SpinWait.SpinUntil(() => _logs.Lines.Count == times, TimeSpan.FromSeconds(20)));

        void Lose(int so)
        {
            file.Add(At, 1, "lost");
            Assert.True(SpinWait.SpinUntil(() => file.Dropped == so, TimeSpan.FromSeconds(20)));
            SpinWait.SpinUntil(() => !_logs.Lines.IsEmpty, TimeSpan.FromSeconds(20)); // said after it is counted
        }
    }

    [Fact]
    public void Close_LastHolder_WhatWaitsIsWritten()
    {
        using var files = Files();
        var (one, other) = (files.Open("m", 0), files.Open("m", 0));
        Assert.Same(one, other);
        one.Add(At, 1, "last words");
        files.Close(one);
        files.Close(other);
        Assert.True(SpinWait.SpinUntil(() => File.Exists(one.Path) && File.ReadAllText(one.Path).Contains("last words", StringComparison.Ordinal), TimeSpan.FromSeconds(20)));
    }

    [Theory]
    [InlineData("demo", "demo")]
    [InlineData("org/model:q4@x", "org%2Fmodel%3Aq4%40x")]
    [InlineData("..", "%2E.")]
    [InlineData("qwen3-8b_v1.5", "qwen3-8b_v1.5")]
    public void SafeName_Model_IsAFileName(string model, string name) => Assert.Equal(name, OutputFiles.SafeName(model));

    [Fact]
    public void SafeName_AnyText_IsOneShortNameInTheFolder() => Gen.String.Sample(text =>
    {
        var name = OutputFiles.SafeName(text);
        Assert.InRange(Encoding.UTF8.GetByteCount(name), 0, 120);
        Assert.DoesNotContain(name, c => c is '/' or '\\' or ':' or '\0');
        Assert.False(name.StartsWith('.'));
    });

    private OutputFiles Files() => new(_folder, OutputFileLimits.Default, _time, new Logger<OutputFiles>(_logs));
}
