using System.Collections.Immutable;
using System.Diagnostics;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>The small programs that prepare a child and then become it: each one execs the next, so the process id stays the same.</summary>
/// <remarks>
/// <code>
/// setpriv --pdeathsig SIGKILL --no-new-privs   dies with the thread that launched it, which lives as long as the gateway
/// choom -n 500                                 the kernel, short of memory, takes a backend before the gateway
/// prlimit --core=1:1                           no dumps, by a program neither: they hold prompts, and delay a restart by gigabytes
/// setsid                                       a session and process group of its own: signals reach all of it and nothing else
/// </code>
/// They are Linux's. macOS has neither; there a shell stands between, holds the read end of a pipe whose other end is the gateway's, and ends the
/// child's process group when the pipe ends (<see cref="Lifeline"/>). Windows ties children to the gateway by a job (<see cref="WindowsJob"/>) and
/// starts them plainly.
/// </remarks>
/// <param name="Prefix">What is put before the program.</param>
/// <param name="Missing">Links that this machine lacks, or whose options it does not know (busybox).</param>
/// <param name="OwnGroup">True when children lead a process group of their own.</param>
/// <param name="HasLifeline">True when the end of its input ends a child at once.</param>
internal sealed record LaunchChain(ImmutableArray<string> Prefix, ImmutableArray<string> Missing, bool OwnGroup, bool HasLifeline = false)
{
    /// <summary>Runs the program as a job, and so in a process group of its own; passes SIGTERM and SIGCONT on; ends the group when the input ends. With jobs, a wait ends also when the child is stopped: that is not its end.</summary>
    private const string LifelineScript = """
        set -m
        exec 3<&0 4>&1 5>&2 >/dev/null 2>&1
        pass() { again=1; if [ "$child" ]; then kill -$1 -$child; kill -CONT -$child; else early=1; fi; }
        trap 'pass TERM' TERM
        trap 'pass CONT' CONT
        "$@" </dev/null >&4 2>&5 3<&- 4>&- 5>&- &
        child=$!
        exec 4>&- 5>&-
        [ -z "$early" ] || kill -TERM -$child
        { read -r ignored <&3; kill -KILL -$child; } >/dev/null 2>&1 &
        watcher=$!
        exec 3<&-
        while :; do again=; wait $child; code=$?; [ "$again" ] && continue; kill -0 $child 2>/dev/null || break; sleep 0.2; done
        kill -KILL -$child
        kill -KILL -$watcher
        exit $code
        """;

    private static readonly ImmutableArray<ImmutableArray<string>> Links =
    [
        ["setpriv", "--pdeathsig", "SIGKILL", "--no-new-privs", "--"],
        ["choom", "-n", "500", "--"],
        ["prlimit", "--core=1:1", "--"],
        ["setsid", "--"],
    ];

    public static LaunchChain None { get; } = new([], [], OwnGroup: false);

    /// <summary>The way of a system that has a shell with jobs and no parent-death signal.</summary>
    /// <param name="shell">bash: a plain POSIX shell has no jobs without a terminal.</param>
    public static LaunchChain Lifeline(string shell) => new([shell, "-c", LifelineScript.ReplaceLineEndings("\n"), "llm-gateway-child"], [], OwnGroup: false, HasLifeline: true);

    /// <summary>Tries each link once and keeps those that work.</summary>
    public static LaunchChain Detect()
    {
        if (OperatingSystem.IsWindows())
        {
            return WindowsJob.TryTieChildrenToThisProcess() ? None : None with { Missing = ["a job of its own"] };
        }

        if (!OperatingSystem.IsLinux())
        {
            const string Shell = "/bin/bash";
            return File.Exists(Shell) ? Lifeline(Shell) : None with { Missing = ["bash"] };
        }

        var prefix = ImmutableArray.CreateBuilder<string>();
        var missing = ImmutableArray.CreateBuilder<string>();
        foreach (var link in Links)
        {
            // By full path: the child's own PATH may be anything.
            if (Preflight.FindProgram(link[0], Environment.GetEnvironmentVariable("PATH")).Path is { } path && Works(link.SetItem(0, path)))
            {
                prefix.AddRange(link.SetItem(0, path));
            }
            else
            {
                missing.Add(link[0]);
            }
        }

        return new(prefix.ToImmutable(), missing.ToImmutable(), OwnGroup: !missing.Contains("setsid"));
    }

    private static bool Works(ImmutableArray<string> link)
    {
        var info = new ProcessStartInfo(link[0]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (var argument in link.Skip(1).Append("true"))
        {
            info.ArgumentList.Add(argument);
        }

        try
        {
            using var process = Process.Start(info);
            return process is not null && process.WaitForExit(TimeSpan.FromSeconds(5)) && process.ExitCode == 0;
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or IOException)
        {
            return false;
        }
    }
}
