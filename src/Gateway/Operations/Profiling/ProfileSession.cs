using System.Diagnostics.Tracing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing.Parsers;

namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>One event session with the gateway's own runtime: bounded in time, in size, and by whoever asked for it.</summary>
internal static class ProfileSession
{
    /// <summary>What the runtime may hold of a session before it is read. A snapshot of the heap comes while nobody can read.</summary>
    private const int BufferMiB = 256;

    /// <summary>How often it is looked whether the collection of a snapshot has been made.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);

    private const string Runtime = "Microsoft-Windows-DotNETRuntime";

    /// <summary>CPU samples, and what is needed to give them names.</summary>
    public static EventPipeProvider[] Cpu { get; } =
    [
        new("Microsoft-DotNETCore-SampleProfiler", EventLevel.Informational),
        new(Runtime, EventLevel.Informational, (long)ClrTraceEventParser.Keywords.Default),
    ];

    /// <summary>A snapshot of the heap; it begins with a full collection.</summary>
    private static EventPipeProvider[] Heap { get; } = [new(Runtime, EventLevel.Verbose, (long)ClrTraceEventParser.Keywords.GCHeapSnapshot)];

    /// <summary>A tick for each 100 KiB that are allocated.</summary>
    public static EventPipeProvider[] Allocations { get; } = [new(Runtime, EventLevel.Verbose, (long)ClrTraceEventParser.Keywords.GC)];

    /// <summary>Each wait for a lock, with the stack.</summary>
    public static EventPipeProvider[] Contention { get; } =
        [new(Runtime, EventLevel.Informational, (long)(ClrTraceEventParser.Keywords.Contention | ClrTraceEventParser.Keywords.Stack | ClrTraceEventParser.Keywords.Jit | ClrTraceEventParser.Keywords.Loader))];

    /// <summary>Runs a session and hands its events on as they come.</summary>
    /// <param name="providers">What to record.</param>
    /// <param name="duration">For how long; the names that follow at the end take a moment more.</param>
    /// <param name="withNames">Whether the names of methods follow at the end.</param>
    /// <param name="time">The clock.</param>
    /// <param name="read">Reads the events to their end. May return early: the session is ended then.</param>
    /// <param name="cancellationToken">Ends it at once.</param>
    /// <exception cref="DiagnosticsClientException">The runtime does not allow it.</exception>
    public static Task RunAsync(
        EventPipeProvider[] providers, TimeSpan duration, bool withNames, TimeProvider time, Func<Stream, CancellationToken, Task> read, CancellationToken cancellationToken) =>
        RunAsync(providers, over => Task.Delay(duration, time, over), withNames, read, cancellationToken);

    /// <summary>Takes a snapshot of the heap: a session that ends with the full collection that it begins with.</summary>
    /// <remarks>
    /// Not with that collection's last event: a reader keeps the latest events back until later ones tell it their order, and in a quiet process none
    /// come until the session ends.
    /// </remarks>
    /// <param name="limit">The longest that it may take.</param>
    /// <param name="time">The clock.</param>
    /// <param name="read">Reads the events to their end.</param>
    /// <param name="cancellationToken">Ends it at once.</param>
    /// <exception cref="DiagnosticsClientException">The runtime does not allow it.</exception>
    public static Task SnapshotAsync(TimeSpan limit, TimeProvider time, Func<Stream, CancellationToken, Task> read, CancellationToken cancellationToken)
    {
        var before = FullCollections();
        return RunAsync(Heap, CollectedAsync, withNames: false, read, cancellationToken);

        async Task CollectedAsync(CancellationToken over)
        {
            var since = time.GetTimestamp();
            while (FullCollections() == before && time.GetElapsedTime(since) < limit)
            {
                await Task.Delay(Look, time, over);
            }
        }
    }

    private static long FullCollections() => GC.GetGCMemoryInfo(GCKind.FullBlocking).Index;

    private static async Task RunAsync(
        EventPipeProvider[] providers, Func<CancellationToken, Task> untilOver, bool withNames, Func<Stream, CancellationToken, Task> read, CancellationToken cancellationToken)
    {
        var client = new DiagnosticsClient(Environment.ProcessId);
        using var session = await client.StartEventPipeSessionAsync(providers, withNames, BufferMiB, cancellationToken);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var reading = read(session.EventStream, cancellationToken);
        try
        {
            await Task.WhenAny(reading, untilOver(over.Token));
        }
        finally
        {
            await over.CancelAsync();

            // Also when whoever asked has left: a session that is not ended goes on recording. It answers when all of it has been read.
            var stopping = session.StopAsync(CancellationToken.None);
            if (cancellationToken.IsCancellationRequested || reading.IsCompleted)
            {
                await DrainAsync(session.EventStream, reading);
            }

            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await stopping;
        }

        await reading;
    }

    /// <summary>Reads what is left, so that the session can end.</summary>
    private static async Task DrainAsync(Stream events, Task reading)
    {
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var buffer = new byte[64 * 1024];
        try
        {
            while (await events.ReadAsync(buffer) > 0)
            {
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // It has ended.
        }
    }
}
