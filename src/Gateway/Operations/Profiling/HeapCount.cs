using System.Collections.Immutable;
using Microsoft.Diagnostics.Tracing;
using Microsoft.Diagnostics.Tracing.Parsers.Clr;

namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>Objects of one type.</summary>
internal sealed record TypeCount(string Type, long Count, long Bytes);

/// <summary>What a snapshot or a recording says of types, the largest first.</summary>
internal sealed record TypeCounts(long Count, long Bytes, ImmutableArray<TypeCount> Types)
{
    /// <summary>Types that are told one by one.</summary>
    public const int Most = 200;

    public static TypeCounts Of(IEnumerable<TypeCount> counts)
    {
        TypeCount[] all = [.. counts.GroupBy(count => count.Type).Select(same => new TypeCount(same.Key, same.Sum(one => one.Count), same.Sum(one => one.Bytes))).OrderByDescending(count => count.Bytes)];
        return new(all.Sum(count => count.Count), all.Sum(count => count.Bytes), [.. all.Take(Most)]);
    }
}

/// <summary>Counts objects by type from the events of a heap snapshot, or of allocation ticks.</summary>
internal static class HeapCount
{
    /// <summary>Reads a snapshot's events to their end; null when they are not all there.</summary>
    public static Task<TypeCounts?> SnapshotAsync(Stream events, CancellationToken cancellationToken)
    {
        var names = new Dictionary<ulong, string>();
        var nodes = new Dictionary<ulong, (long Count, long Bytes)>();
        int? collection = null;
        var isWhole = false;
        return ReadAsync<TypeCounts?>(
            events,
            source =>
            {
                source.Clr.TypeBulkType += data =>
                {
                    for (var i = 0; i < data.Count; i++)
                    {
                        var type = data.Values(i);
                        names[type.TypeID] = type.TypeName;
                    }
                };
                source.Clr.GCBulkNode += data =>
                {
                    for (var i = 0; i < data.Count; i++)
                    {
                        var node = data.Values(i);
                        var (count, bytes) = nodes.GetValueOrDefault(node.TypeID);
                        nodes[node.TypeID] = (count + 1, bytes + (long)node.Size);
                    }
                };
                source.Clr.GCStart += data => collection ??= data is { Depth: 2, Type: not GCType.BackgroundGC } ? data.Count : null;
                source.Clr.GCStop += data => isWhole |= data.Count == collection;
            },
            () => !isWhole ? null : TypeCounts.Of(nodes.Select(node => new TypeCount(names.GetValueOrDefault(node.Key) is { Length: > 0 } name ? name : "(unnamed)", node.Value.Count, node.Value.Bytes))),
            cancellationToken);
    }

    /// <summary>Reads allocation ticks to their end. A tick stands for about 100 KiB, its type for the object that was allocated then.</summary>
    public static Task<TypeCounts> AllocationsAsync(Stream events, CancellationToken cancellationToken)
    {
        var ticks = new List<TypeCount>();
        return ReadAsync(
            events,
            source => source.Clr.GCAllocationTick += data => ticks.Add(new TypeCount(data.TypeName, 1, data.AllocationAmount64)),
            () => TypeCounts.Of(ticks),
            cancellationToken);
    }

    // The reader blocks: it gets a thread of its own.
    private static Task<T> ReadAsync<T>(Stream events, Action<EventPipeEventSource> subscribe, Func<T> result, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(
            () =>
            {
                using var source = new EventPipeEventSource(events);
                subscribe(source);
                using var registration = cancellationToken.UnsafeRegister(static source => ((EventPipeEventSource)source!).StopProcessing(), source);
                source.Process();
                cancellationToken.ThrowIfCancellationRequested();
                return result();
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
}
