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
        var (enqueue, cancel, handOff) = (new Latencies(), new Latencies(), new Latencies());
        var bytes = 0.0;

        // A round before, for the compiler.
        for (var round = 0; round < 2; round++)
        {
            (enqueue, cancel, handOff) = (new Latencies(), new Latencies(), new Latencies());
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

            bytes = (GC.GetTotalMemory(forceFullCollection: true) - before) / (double)waiters;
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
                _ = task.ContinueWith(task => granted.Add(task.Result), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
            }

            for (var left = held.Count + queue.Status().Depth; left > held.Count; left--)
            {
                var lease = granted.Take();
                lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
                var started = Stopwatch.GetTimestamp();
                lease.Dispose();
                handOff.RecordTicks(Stopwatch.GetTimestamp() - started);
            }

            held = [.. Enumerable.Range(0, held.Count).Select(_ => granted.Take())];
            foreach (var source in sources)
            {
                source.Dispose();
            }
        }

        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {backends} backends × {slots} slots, {keys:#,0} keys, {waiters:#,0} waiters | p50 | p99 | max |\n|---|---|---|---|\n{Row("enqueue", enqueue)}{Row("cancel", cancel)}{Row("release and hand on", handOff)}\nMemory a waiter, without its body: {bytes:0} bytes.\n");

        QueueTicket Ticket(int key) => new(Gateways.Request(model, body, TimeProvider.System, key.ToString(CultureInfo.InvariantCulture)));
    }

    private static string Row(string name, Latencies latencies) => string.Create(
        CultureInfo.InvariantCulture,
        $"| {name} | {latencies.Percentile(50) * 1000:0} µs | {latencies.Percentile(99) * 1000:0} µs | {latencies.Percentile(100) * 1000:0} µs |\n");
}
