using System.Collections.Concurrent;
using LlmGateway.Probes.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;

namespace LlmGateway.Probes.Tests;

/// <summary>What many probes cost. The server that answers them runs in the same process, so the real cost is lower.</summary>
public sealed class ProbeLoadTests
{
    private const int Backends = 1_000;
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    [Fact]
    [Trait("Suite", "Long")]
    public async Task ThousandBackendsEveryTenSeconds_CostLittleAndAreOnTime()
    {
        var cancelled = TestContext.Current.CancellationToken;
        await using var server = await StubServer.StartAsync(200, """{"status":"ok"}""");
        var starts = new ConcurrentDictionary<int, ConcurrentQueue<TimeSpan>>();
        var born = TimeProvider.System.GetTimestamp();
        var done = new CountdownEvent(Backends);
        var loops = new List<ProbeLoop>();
        for (var i = 0; i < Backends; i++)
        {
            var (index, mine) = (i, starts.GetOrAdd(i, _ => new()));
            var options = new ProbeOptions { Kind = ProbeKind.Http, Path = "/health", Period = Period, Timeout = TimeSpan.FromSeconds(5), InitialDelay = Period * (index / (double)Backends) };
            loops.Add(ProbeLoop.Start(
                Probe.Create(options, server.Address, null, TimeProvider.System),
                options,
                report =>
                {
                    Assert.Equal(ProbeOutcome.Pass, report.Result.Outcome);
                    mine.Enqueue(TimeProvider.System.GetElapsedTime(born) - report.Result.Elapsed);
                    if (mine.Count == 4)
                    {
                        done.Signal();
                    }
                },
                TimeProvider.System,
                () => 0.5, // no jitter: what is off the period is late
                NullLogger.Instance,
                cancelled));
        }

        await Eventually(() => !starts.Values.Any(mine => mine.IsEmpty)); // connections are made, code is compiled
        var (cpu, at) = (Environment.CpuUsage.TotalTime, TimeProvider.System.GetElapsedTime(born));
        await Task.Run(() => done.Wait(cancelled), cancelled);
        var share = (Environment.CpuUsage.TotalTime - cpu) / (TimeProvider.System.GetElapsedTime(born) - at);
        foreach (var loop in loops)
        {
            await loop.DisposeAsync();
        }

        var late = starts.Values.SelectMany(mine => mine.Zip(mine.Skip(1), (one, next) => next - one - Period)).Order().ToArray();
        var p99 = late[(int)(late.Length * 0.99)];
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{Backends} probes every {Period.TotalSeconds:0} s: {share:0.0%} of a core with the server, late by {late[late.Length / 2].TotalMilliseconds:0.0} ms (median), {p99.TotalMilliseconds:0.0} ms (p99)");
        Assert.InRange(share, 0, 0.10); // half of it is the server's
        Assert.InRange(p99, TimeSpan.FromSeconds(-1), TimeSpan.FromMilliseconds(500));

        async Task Eventually(Func<bool> condition)
        {
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
            while (!condition())
            {
                await timer.WaitForNextTickAsync(cancelled);
            }
        }
    }
}
