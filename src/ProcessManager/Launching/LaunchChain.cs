using System.Collections.Immutable;
using System.Diagnostics;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>The small programs that prepare a child and then become it: each one execs the next, so the process id stays the same.</summary>
/// <remarks>
/// <code>
/// setpriv --pdeathsig SIGKILL --no-new-privs   dies with the thread that launched it, which lives as long as the gateway
/// choom -n 500                                 the kernel, short of memory, takes a backend before the gateway
/// prlimit --core=0:0                           no dumps: they hold prompts, and delay a restart by gigabytes
/// setsid                                       a session and process group of its own: signals reach all of it and nothing else
/// </code>
/// They are Linux's; elsewhere the chain is empty, a child is started plainly, and no orphan guard exists.
/// </remarks>
/// <param name="Prefix">What is put before the program.</param>
/// <param name="Missing">Links that this machine lacks, or whose options it does not know (busybox).</param>
/// <param name="OwnGroup">True when children lead a process group of their own.</param>
internal sealed record LaunchChain(ImmutableArray<string> Prefix, ImmutableArray<string> Missing, bool OwnGroup)
{
    private static readonly ImmutableArray<ImmutableArray<string>> Links =
    [
        ["setpriv", "--pdeathsig", "SIGKILL", "--no-new-privs", "--"],
        ["choom", "-n", "500", "--"],
        ["prlimit", "--core=0:0", "--"],
        ["setsid", "--"],
    ];

    public static LaunchChain None { get; } = new([], [], OwnGroup: false);

    /// <summary>Tries each link once and keeps those that work.</summary>
    public static LaunchChain Detect()
    {
        if (!OperatingSystem.IsLinux())
        {
            return None;
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
