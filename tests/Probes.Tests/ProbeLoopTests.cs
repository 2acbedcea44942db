using System.Threading.Channels;
using CsCheck;
using LlmGateway.Probes.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Probes.Tests;

public sealed class ProbeLoopTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public void Together_AnyWait_EndsAtAHundredthOfThePeriodAndIsHardlyMoved() =>
        Gen.Select(Gen.Double[0.05, 60], Gen.Double[0, 1.1], Gen.Double[0, 100_000]).Sample((seconds, part, past) =>
        {
            var (period, now) = (TimeSpan.FromSeconds(seconds), TimeSpan.FromSeconds(past));
            var wait = ProbeLoop.Together(period * part, now, period);
            var grain = period.Ticks / 100;
            Assert.InRange(wait - (period * part), -period / 199, TimeSpan.FromTicks(Math.Max(TimeSpan.TicksPerMillisecond, (grain / 2) + 1)));
            Assert.True(wait == TimeSpan.FromMilliseconds(1) || (now + wait).Ticks % grain == 0, $"{wait} after {now} is not on the grid");
        });

    [Fact]
    public void Jittered_AnyRandom_StaysWithinTenPercent() =>
        Gen.Select(Gen.Double[0.05, 3600], Gen.Double[0, 0.999999]).Sample((period, random) =>
        {
            var seconds = ProbeLoop.Jittered(TimeSpan.FromSeconds(period), random).TotalSeconds;
            return seconds >= period * 0.9 - 1e-6 && seconds <= period * 1.1 + 1e-6;
        });

    [Fact]
    public async Task Start_ServerChanges_ReportsVerdictsInOrder()
    {
        var status = 200;
        await using var server = await StubServer.StartAsync(context =>
        {
            context.Response.StatusCode = Volatile.Read(ref status);
            return Task.CompletedTask;
        });
        var options = new ProbeOptions { Period = TimeSpan.FromMilliseconds(50), FailureThreshold = 2, Timeout = TimeSpan.FromSeconds(20) };
        var reports = Channel.CreateUnbounded<BackendReport>();
        await using var loop = Start(server.Address, options, report => reports.Writer.TryWrite(report), TimeProvider.System);

        var first = await reports.Reader.ReadAsync(Ct);
        Assert.Equal((ProbeHealth.Healthy, true), (first.Verdict.Health, first.Changed));
        Assert.False((await reports.Reader.ReadAsync(Ct)).Changed);

        Volatile.Write(ref status, 500);
        var turned = await NextAsync(reports, report => report.Changed);
        Assert.Equal((ProbeHealth.Unhealthy, 2), (turned.Verdict.Health, turned.Verdict.Failures));
        Volatile.Write(ref status, 200);
        Assert.Equal(ProbeHealth.Healthy, (await NextAsync(reports, report => report.Changed)).Verdict.Health);
    }

    [Fact]
    public async Task Start_InitialDelayAndPeriod_AreKeptFromStartToStart()
    {
        var time = new WatchedTime();
        using var probe = new HandProbe(time);
        var options = new ProbeOptions { InitialDelay = TimeSpan.FromSeconds(30), Period = TimeSpan.FromSeconds(10) };
        await using var loop = ProbeLoop.Start(probe, options, _ => { }, time, () => 0.5, NullLogger.Instance, Ct);

        Assert.Equal(TimeSpan.FromSeconds(30), await time.Timers.Reader.ReadAsync(Ct));
        time.Advance(TimeSpan.FromSeconds(30));
        var first = await probe.AskedAsync();
        Assert.Equal(HandProbe.Patience, await time.Timers.Reader.ReadAsync(Ct));
        time.Advance(TimeSpan.FromSeconds(4));
        first.SetResult(ProbeResult.Pass(TimeSpan.Zero));
        Assert.Equal(TimeSpan.FromSeconds(6), await time.Timers.Reader.ReadAsync(Ct));
    }

    [Fact]
    public async Task Start_FirstPeriod_GrowsByHalfUntilThePeriod()
    {
        var time = new WatchedTime();
        using var probe = new HandProbe(time);
        var options = new ProbeOptions { FirstPeriod = TimeSpan.FromMilliseconds(40), Period = TimeSpan.FromMilliseconds(100) };
        await using var loop = ProbeLoop.Start(probe, options, _ => { }, time, () => 0.5, NullLogger.Instance, Ct);

        foreach (var wait in (int[])[40, 60, 90, 100, 100])
        {
            var asked = await probe.AskedAsync();
            Assert.Equal(HandProbe.Patience, await time.Timers.Reader.ReadAsync(Ct));
            asked.SetResult(ProbeResult.Fail(ProbeReason.Refused, TimeSpan.Zero));
            var slept = await time.Timers.Reader.ReadAsync(Ct);
            Assert.InRange(slept.TotalMilliseconds, wait - 1, wait + 1); // moved to the grid that all loops share
            time.Advance(slept);
        }
    }

    [Fact]
    public async Task Fault12_Start_SlowServer_OneTryIsInFlightAndTheNextFollowsAtOnce()
    {
        var time = new WatchedTime();
        using var probe = new HandProbe(time);
        await using var loop = ProbeLoop.Start(probe, new() { Period = TimeSpan.FromSeconds(1) }, _ => { }, time, () => 0.5, NullLogger.Instance, Ct);
        var first = await probe.AskedAsync();
        Assert.Equal(HandProbe.Patience, await time.Timers.Reader.ReadAsync(Ct));
        time.Advance(TimeSpan.FromSeconds(20)); // twenty periods
        Assert.Equal(1, probe.Asked);

        first.SetResult(ProbeResult.Pass(TimeSpan.Zero));
        Assert.Equal(TimeSpan.FromMilliseconds(1), await time.Timers.Reader.ReadAsync(Ct));
        time.Advance(TimeSpan.FromMilliseconds(1));
        await probe.AskedAsync();
        Assert.Equal(2, probe.Asked);
    }

    [Fact]
    public async Task Fault37_FoundLate_AFailureCountsForNothing()
    {
        var time = new WatchedTime();
        using var probe = new HandProbe(time);
        var reports = Channel.CreateUnbounded<BackendReport>();
        var options = new ProbeOptions { Period = TimeSpan.FromSeconds(2), FailureThreshold = 1 };
        await using var loop = ProbeLoop.Start(probe, options, report => reports.Writer.TryWrite(report), time, () => 0.5, NullLogger.Instance, Ct);
        async Task AnswerAsync(ProbeResult result)
        {
            var asked = await probe.AskedAsync();
            Assert.Equal(HandProbe.Patience, await time.Timers.Reader.ReadAsync(Ct));
            asked.SetResult(result);
            await time.Timers.Reader.ReadAsync(Ct); // it sleeps
        }

        await AnswerAsync(ProbeResult.Pass(TimeSpan.Zero));
        Assert.Equal(ProbeHealth.Healthy, (await reports.Reader.ReadAsync(Ct)).Verdict.Health);

        // We slept for a minute instead of two seconds, and then the answer took a minute although a second was allowed.
        time.Advance(TimeSpan.FromSeconds(60));
        await AnswerAsync(ProbeResult.Fail(ProbeReason.Timeout, TimeSpan.FromSeconds(1)));
        time.Advance(TimeSpan.FromSeconds(2));
        await AnswerAsync(ProbeResult.Fail(ProbeReason.Timeout, TimeSpan.FromSeconds(60)));
        Assert.False(reports.Reader.TryPeek(out _));

        time.Advance(TimeSpan.FromSeconds(2));
        await AnswerAsync(ProbeResult.Fail(ProbeReason.Timeout, TimeSpan.FromSeconds(1)));
        Assert.Equal(ProbeHealth.Unhealthy, (await reports.Reader.ReadAsync(Ct)).Verdict.Health);
    }

    [Fact]
    public async Task Fault13_RecoveryThreshold_OnePassIsNotEnoughAfterAFailure()
    {
        var time = new WatchedTime();
        using var probe = new HandProbe(time);
        var reports = Channel.CreateUnbounded<BackendReport>();
        var options = new ProbeOptions { FailureThreshold = 1, RecoveryThreshold = 2 };
        await using var loop = ProbeLoop.Start(probe, options, report => reports.Writer.TryWrite(report), time, () => 0.5, NullLogger.Instance, Ct);
        var health = new List<ProbeHealth>();
        foreach (var passes in new[] { true, false, true, false, true, true })
        {
            (await probe.AskedAsync()).SetResult(passes ? ProbeResult.Pass(TimeSpan.Zero) : ProbeResult.Fail(ProbeReason.Refused, TimeSpan.Zero));
            health.Add((await reports.Reader.ReadAsync(Ct)).Verdict.Health);
            await time.Timers.Reader.ReadAsync(Ct);
            await time.Timers.Reader.ReadAsync(Ct);
            time.Advance(TimeSpan.FromSeconds(2));
        }

        Assert.Equal([ProbeHealth.Healthy, .. Enumerable.Repeat(ProbeHealth.Unhealthy, 4), ProbeHealth.Healthy], health);
    }

    [Fact]
    public async Task Dispose_TryInFlight_EndsItAndReportsNothingMore()
    {
        var arrived = new TaskCompletionSource();
        var aborted = new TaskCompletionSource();
        await using var server = await StubServer.StartAsync(async context =>
        {
            context.RequestAborted.Register(aborted.SetResult);
            arrived.SetResult();
            await aborted.Task;
        });
        var reports = 0;
        var loop = Start(server.Address, new() { Timeout = TimeSpan.FromMinutes(5) }, _ => reports++, TimeProvider.System);
        await arrived.Task.WaitAsync(Ct);

        await loop.DisposeAsync();
        await loop.DisposeAsync(); // twice: it has ended already
        await aborted.Task.WaitAsync(Ct);
        Assert.Equal(0, reports);
    }

    [Fact]
    public async Task Start_ListenerThrows_GoesOn()
    {
        await using var server = await StubServer.StartAsync(200);
        var calls = 0;
        var third = new TaskCompletionSource();
        await using var loop = Start(server.Address, new() { Period = TimeSpan.FromMilliseconds(50), Timeout = TimeSpan.FromSeconds(20) }, _ =>
        {
            if (++calls == 3)
            {
                third.SetResult();
            }

            throw new InvalidOperationException("listener");
        }, TimeProvider.System);
        await third.Task.WaitAsync(Ct);
    }

    private static ProbeLoop Start(BackendAddress address, ProbeOptions options, Action<BackendReport> report, TimeProvider time) =>
        ProbeLoop.Start(Probe.Create(options, address, null, time), options, report, time, () => 0.5, NullLogger.Instance, Ct);

    private static async Task<BackendReport> NextAsync(Channel<BackendReport> reports, Func<BackendReport, bool> condition)
    {
        await foreach (var report in reports.Reader.ReadAllAsync(Ct))
        {
            if (condition(report))
            {
                return report;
            }
        }

        throw new InvalidOperationException("The loop has ended.");
    }

    /// <summary>Tells each timer that is made on it: a test moves the clock when somebody waits, and not before.</summary>
    private sealed class WatchedTime : FakeTimeProvider
    {
        public Channel<TimeSpan> Timers { get; } = Channel.CreateUnbounded<TimeSpan>();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            Timers.Writer.TryWrite(dueTime);
            return timer;
        }
    }

    /// <summary>A probe that is answered by hand.</summary>
    private sealed class HandProbe(TimeProvider time) : Probe(Patience, time)
    {
        public static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
        private readonly Channel<TaskCompletionSource<ProbeResult>> _asked = Channel.CreateUnbounded<TaskCompletionSource<ProbeResult>>();

        public int Asked { get; private set; }

        public Task<TaskCompletionSource<ProbeResult>> AskedAsync() => _asked.Reader.ReadAsync(Ct).AsTask();

        private protected override Task<ProbeResult> AskAsync(long started, CancellationToken cancellationToken)
        {
            Asked++;
            var answer = new TaskCompletionSource<ProbeResult>(TaskCreationOptions.RunContinuationsAsynchronously);
            cancellationToken.Register(() => answer.TrySetCanceled(cancellationToken));
            _asked.Writer.TryWrite(answer);
            return answer.Task;
        }
    }
}
