using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.Benchmarks.Simulation;

/// <summary>The scheduler far past one machine: how long each step takes with very many waiters, and what a waiter weighs.</summary>
internal static class Scale
{
    /// <returns>Markdown.</returns>
    public static string Run(int backends = 100, int slots = 4, int keys = 10_000, int waiters = 100_000)
    {
        var model = Gateways.Model(backends, slots, new QueueOptions { Timeout = TimeSpan.FromHours(1), MaxDepth = waiters * 2, MaxDepthPerKey = waiters });
        using var queue = Gateways.Queue(model, TimeProvider.System);
        queue.Update(Gateways.Ready(Enumerable.Range(0, backends).Select(static i => Gateways.Backend(i)), slots));
        using var body = Gateways.Body(10);
        var dice = new Dice(1);
        var held = Enumerable.Range(0, backends * slots).Select(_ => queue.AcquireAsync(Ticket(0), CancellationToken.None).AsTask().Result).ToList();

        // Rounds before, for the compiler.
        for (var round = 0; round < 4; round++)
        {
            Round(round % 2 == 0 ? new OwnThread() : TaskScheduler.Default);
        }

        var (own, pool) = (Round(new OwnThread()), Round(TaskScheduler.Default));

        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {backends} backends × {slots} slots, {keys:#,0} keys, {waiters:#,0} waiters | p50 | p99 | max |\n|---|---|---|---|\n{Row("enqueue", own.Enqueue)}{Row("cancel", own.Cancel)}{Row("release and hand on", own.HandOn)}{Row("the same, and a pool thread goes on with it", pool.HandOn)}\nMemory a waiter, without its body: {own.Bytes:0} bytes.\n");

        Steps Round(TaskScheduler scheduler)
        {
            var (enqueue, cancel, handOn) = (new Latencies(), new Latencies(), new Latencies());
            var tickets = Enumerable.Range(0, waiters).Select(_ => Ticket(dice.NextInt(keys))).ToArray();
            var sources = Enumerable.Range(0, waiters).Select(static _ => new CancellationTokenSource()).ToArray();
            var waiting = new Task<SlotLease>[waiters];
            var before = GC.GetTotalMemory(forceFullCollection: true);
            for (var i = 0; i < waiters; i++)
            {
                var started = Stopwatch.GetTimestamp();
                var acquiring = queue.AcquireAsync(tickets[i], sources[i].Token);
                enqueue.RecordTicks(Stopwatch.GetTimestamp() - started);
                waiting[i] = acquiring.AsTask();
            }

            var bytes = (GC.GetTotalMemory(forceFullCollection: true) - before) / (double)waiters;
            for (var i = 0; i < waiters / 2; i++)
            {
                // Any of them, wherever it stands.
                var one = sources[dice.NextInt(waiters)];
                var started = Stopwatch.GetTimestamp();
                one.Cancel();
                cancel.RecordTicks(Stopwatch.GetTimestamp() - started);
            }

            // Each slot that is given back goes to the best waiter, until none is left.
            using var granted = new BlockingCollection<SlotLease>();
            held.ForEach(granted.Add);
            foreach (var task in waiting)
            {
                _ = task.ContinueWith(task => granted.Add(task.Result), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, scheduler);
            }

            for (var left = held.Count + queue.Status().Depth; left > held.Count; left--)
            {
                var lease = granted.Take();
                lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
                var started = Stopwatch.GetTimestamp();
                lease.Dispose();
                handOn.RecordTicks(Stopwatch.GetTimestamp() - started);
                (scheduler as OwnThread)?.Run();
            }

            held = [.. Enumerable.Range(0, held.Count).Select(_ => granted.Take())];
            foreach (var source in sources)
            {
                source.Dispose();
            }

            return new Steps(enqueue, cancel, handOn, bytes);
        }

        QueueTicket Ticket(int key) => new(Gateways.Request(model, body, TimeProvider.System, key.ToString(CultureInfo.InvariantCulture)));
    }

    private static string Row(string name, Latencies latencies) => string.Create(
        CultureInfo.InvariantCulture,
        $"| {name} | {latencies.Percentile(50) * 1000:0} µs | {latencies.Percentile(99) * 1000:0} µs | {latencies.Percentile(100) * 1000:0} µs |\n");

    private sealed record Steps(Latencies Enqueue, Latencies Cancel, Latencies HandOn, double Bytes);

    /// <summary>Runs what it is given when it is told to, on the thread that tells it: what is timed then is the queue, and not the waking of a thread.</summary>
    private sealed class OwnThread : TaskScheduler
    {
        private readonly Queue<Task> _tasks = new();

        public void Run()
        {
            while (_tasks.TryDequeue(out var task))
            {
                TryExecuteTask(task);
            }
        }

        protected override void QueueTask(Task task) => _tasks.Enqueue(task);

        protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

        protected override IEnumerable<Task> GetScheduledTasks() => _tasks;
    }
}
