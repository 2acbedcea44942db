using System.Threading.Channels;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Supervision.Liveness;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.ProcessManager.Tests.Supervision.Liveness;

public sealed class LivenessWatchTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Run_IdleAndSilent_WaitsForTheInitialDelayAsksOnceAPeriodAndGivesUpAtTheThreshold()
    {
        var (time, senses) = (new SteppedTime(), new Silent());
        var news = new List<SupervisorEvent>();
        var options = ReplicaSetOptions.DefaultLiveness with { InitialDelay = TimeSpan.FromSeconds(30), FailureThreshold = 3 };
        var run = Watch(options, senses, time, news).RunAsync(Ct);

        Assert.Equal(TimeSpan.FromSeconds(30), await time.NextAsync());
        Assert.Equal(0, senses.Asked);
        var seconds = 0;
        for (; !run.IsCompleted && seconds < 60; seconds++)
        {
            time.Advance(seconds == 0 ? TimeSpan.FromSeconds(30) : TimeSpan.FromSeconds(1));
            await Task.WhenAny(run, time.NextAsync());
        }

        await run;
        Assert.Equal(3, senses.Asked);
        Assert.InRange(seconds, 10, 14); // two periods between three questions
        Assert.IsType<SupervisorEvent.FoundHung>(news[^1]);
    }

    [Fact]
    public async Task Fault37_HostSleepsBetweenTwoLooks_NothingIsCounted()
    {
        var (time, senses) = (new SteppedTime(), new Silent());
        var news = new List<SupervisorEvent>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var run = Watch(ReplicaSetOptions.DefaultLiveness with { FailureThreshold = 2 }, senses, time, news).RunAsync(stop.Token);
        for (var i = 0; i < 10; i++)
        {
            await time.NextAsync();
            time.Advance(TimeSpan.FromMinutes(1)); // each of its seconds takes a minute
        }

        await time.NextAsync();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run);
        Assert.True(senses.Asked > 2);
        Assert.DoesNotContain(news, one => one is SupervisorEvent.FoundHung);
    }

    private static LivenessWatch Watch(ProbeOptions options, Silent senses, SteppedTime time, List<SupervisorEvent> news) => new(
        1, 0, options, () => new(options.StallTimeout, TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(10), options.FailureThreshold),
        new LivenessPool("m", () => 1, time, NullLogger.Instance), senses, time, () => 0.5, null, news.Add);

    /// <summary>Tells of each timer, so that a test moves the clock only when somebody waits.</summary>
    private sealed class SteppedTime : FakeTimeProvider
    {
        private readonly Channel<TimeSpan> _timers = Channel.CreateUnbounded<TimeSpan>();

        public Task<TimeSpan> NextAsync() => _timers.Reader.ReadAsync(Ct).AsTask();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            _timers.Writer.TryWrite(dueTime);
            return timer;
        }
    }

    private sealed class Silent : ILivenessSenses
    {
        public int Asked { get; private set; }

        public ProcessLook Process(bool wholeGroup) => new(false, wholeGroup, 0, 0);

        public TrafficLook Traffic() => default;

        public Task<SlotsLook> SlotsAsync(CancellationToken cancellationToken)
        {
            Asked++;
            return Task.FromResult(SlotsLook.None);
        }
    }
}
