using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager;

/// <summary>The messages of this room: event ids 2000 to 2999, never reused. Never a key, never a prompt.</summary>
internal static partial class Log
{
    [LoggerMessage(2000, LogLevel.Information, "{Backend} {From} -> {To} (generation {Generation}){Detail}")]
    public static partial void StateChanged(ILogger logger, string backend, string from, string to, int generation, string detail);

    [LoggerMessage(2001, LogLevel.Warning, "{Backend} ended: {Cause} ({How}). {Advice} {Next}")]
    public static partial void Ended(ILogger logger, string backend, string cause, string how, string advice, string next);

    [LoggerMessage(2002, LogLevel.Error, "{Backend} failed: {Cause} ({How}). {Advice} {Next}")]
    public static partial void Failed(ILogger logger, string backend, string cause, string how, string advice, string next);

    [LoggerMessage(2003, LogLevel.Error, "{Backend} is stuck: pid {Pid} does not end even after SIGKILL. Look for a hung disk or GPU driver; nothing is started in its place.")]
    public static partial void Stuck(ILogger logger, string backend, int? pid);

    [LoggerMessage(2004, LogLevel.Warning, "{Backend} is not ready: {Finding} No new work goes there; its process stays.")]
    public static partial void NotReady(ILogger logger, string backend, string? finding);

    [LoggerMessage(2005, LogLevel.Error,
        "{Model}: {Suspects} of {Size} replicas look hung at once. None is killed for it: look at the host (CPU, memory, disk, GPU driver) first.")]
    public static partial void Panic(ILogger logger, string model, int suspects, int size);

    [LoggerMessage(2006, LogLevel.Warning, "{Backend} is stopped (SIGSTOP) since 5 s and is sent SIGCONT. If it is stopped again it is replaced.")]
    public static partial void Continued(ILogger logger, string backend);

    [LoggerMessage(2010, LogLevel.Warning,
        "Programs of util-linux are missing or too old: {Missing}. Without setpriv a killed gateway leaves its servers behind; without setsid signals reach a server, but not what it started. Install util-linux.")]
    public static partial void LaunchChainIncomplete(ILogger logger, string missing);

    [LoggerMessage(2011, LogLevel.Warning, "Without {Missing} a killed gateway leaves its servers behind until the next one starts.")]
    public static partial void NoLaunchChain(ILogger logger, string missing);

    [LoggerMessage(2012, LogLevel.Warning, "{Backend} does not tell its slots on /props ({Reason}); {Slots} is assumed.")]
    public static partial void SlotsUnknown(ILogger logger, string backend, string reason, int slots);

    [LoggerMessage(2013, LogLevel.Debug, "{Backend} launched as pid {Pid}: {CommandLine}")]
    public static partial void Launched(ILogger logger, string backend, int pid, string commandLine);

    [LoggerMessage(2014, LogLevel.Warning, "The processes could not be looked at; the last numbers stay for now.")]
    public static partial void SamplingFailed(ILogger logger, Exception exception);

    [LoggerMessage(2015, LogLevel.Warning, "The GPUs are not looked at any more: {Reason}")]
    public static partial void GpuUnknown(ILogger logger, string reason);

    [LoggerMessage(2016, LogLevel.Warning, "An earlier gateway left pid {Pid} behind, {What}: it is ended.")]
    public static partial void OrphanKilled(ILogger logger, int pid, string what);

    [LoggerMessage(2017, LogLevel.Error, "What an earlier gateway left behind does not end even after SIGKILL: pid {Pids}. It may hold memory and ports.")]
    public static partial void OrphanStays(ILogger logger, string pids);

    [LoggerMessage(2018, LogLevel.Warning, "{File} can't be read and is made anew: {Reason}")]
    public static partial void RecordsUnreadable(ILogger logger, string file, string reason);

    [LoggerMessage(2019, LogLevel.Warning, "Output can't be written to {File} and is kept in memory only: {Reason}. This is said once a minute.")]
    public static partial void OutputNotWritten(ILogger logger, string file, string reason);

    [LoggerMessage(2020, LogLevel.Critical, "{Backend}: {Effect} failed unexpectedly. This is a fault of the gateway: please report it.")]
    public static partial void EffectFailed(ILogger logger, string backend, string effect, Exception exception);

    [LoggerMessage(2021, LogLevel.Error, "{Backend}: a listener of status changes threw. This is a fault of the gateway: please report it.")]
    public static partial void ListenerFailed(ILogger logger, string backend, Exception exception);
}
