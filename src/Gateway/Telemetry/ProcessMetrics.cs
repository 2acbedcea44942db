using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>The gateway's own process, under the names that Prometheus clients have for it, and the thread pool's gauges.</summary>
internal sealed class ProcessMetrics
{
    public const string MeterName = "LlmGateway.Process";

    private const string OwnFiles = "/proc/self/fd";
    private const string OwnLimits = "/proc/self/limits";

    public ProcessMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        meter.CreateObservableCounter("process_cpu_seconds", () => Environment.CpuUsage.TotalTime.TotalSeconds, description: "CPU time of the gateway, user and system.");
        meter.CreateObservableGauge("process_resident_memory_bytes", () => Environment.WorkingSet, description: "Resident memory of the gateway.");
        meter.CreateObservableGauge("process_start_time_seconds", StartTime, description: "Start of the gateway, seconds since 1970.");
        meter.CreateObservableGauge("process_threads", Threads, description: "Threads of the gateway.");
        meter.CreateObservableGauge("process_open_fds", () => Count(OwnFiles), description: "Open file descriptors of the gateway; Linux only.");
        meter.CreateObservableGauge("process_max_fds", Limit, description: "Most file descriptors that it may have; Linux only.");
        meter.CreateObservableGauge("dotnet_thread_pool_threads", () => ThreadPool.ThreadCount, description: "Threads of the thread pool.");
        meter.CreateObservableGauge("dotnet_thread_pool_queue_length", () => ThreadPool.PendingWorkItemCount, description: "Work that waits for a thread of the pool.");
    }

    private static double StartTime()
    {
        using var own = Process.GetCurrentProcess();
        return (own.StartTime.ToUniversalTime() - DateTime.UnixEpoch).TotalSeconds;
    }

    private static int Threads()
    {
        using var own = Process.GetCurrentProcess();
        return own.Threads.Count;
    }

    // Where the system has no such folder there is no series: absent, not zero.
    private static IEnumerable<Measurement<int>> Count(string folder) =>
        Directory.Exists(folder) ? [new Measurement<int>(Directory.EnumerateFileSystemEntries(folder).Count())] : [];

    private static IEnumerable<Measurement<long>> Limit()
    {
        const string Name = "Max open files";
        var line = File.Exists(OwnLimits) ? File.ReadLines(OwnLimits).FirstOrDefault(line => line.StartsWith(Name, StringComparison.Ordinal)) : null;
        return line?[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var soft, ..] && long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var limit)
            ? [new Measurement<long>(limit)]
            : [];
    }
}
