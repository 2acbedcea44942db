namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>The runtime's numbers at one moment; rates are since the one before.</summary>
internal sealed record RuntimeCounters(
    DateTimeOffset At,
    double CpuCores,
    long WorkingSetBytes,
    long HeapBytes,
    double AllocatedBytesPerSecond,
    int Gen0Collections,
    int Gen1Collections,
    int Gen2Collections,
    double PauseSeconds,
    int PoolThreads,
    long PoolQueueLength,
    double PoolItemsPerSecond,
    double LockContentionsPerSecond,
    long Timers)
{
    /// <summary>Numbers that only grow, with the moment of their reading.</summary>
    public readonly record struct Totals(long Timestamp, TimeSpan Cpu, long Allocated, long PoolItems, long Contentions)
    {
        public static Totals Now(TimeProvider time) =>
            new(time.GetTimestamp(), Environment.CpuUsage.TotalTime, GC.GetTotalAllocatedBytes(), ThreadPool.CompletedWorkItemCount, Monitor.LockContentionCount);
    }

    public static RuntimeCounters Between(in Totals before, in Totals after, TimeProvider time)
    {
        var seconds = Math.Max(1e-3, time.GetElapsedTime(before.Timestamp, after.Timestamp).TotalSeconds);
        return new(
            time.GetUtcNow(),
            (after.Cpu - before.Cpu).TotalSeconds / seconds,
            Environment.WorkingSet,
            GC.GetTotalMemory(forceFullCollection: false),
            (after.Allocated - before.Allocated) / seconds,
            GC.CollectionCount(0),
            GC.CollectionCount(1),
            GC.CollectionCount(2),
            GC.GetTotalPauseDuration().TotalSeconds,
            ThreadPool.ThreadCount,
            ThreadPool.PendingWorkItemCount,
            (after.PoolItems - before.PoolItems) / seconds,
            (after.Contentions - before.Contentions) / seconds,
            Timer.ActiveCount);
    }
}
