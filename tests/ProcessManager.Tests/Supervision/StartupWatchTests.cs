using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Supervision;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.ProcessManager.Tests.Supervision;

public sealed class StartupWatchTests
{
    private static readonly ProbeOptions Options = new() { Period = TimeSpan.FromMilliseconds(500), Timeout = TimeSpan.FromSeconds(1), StallTimeout = TimeSpan.FromSeconds(60) };
    private readonly FakeTimeProvider _time = new();
    private readonly List<SupervisorEvent> _posted = [];
    private readonly StartupWatch _watch;
    private ProgressSample _sample;
    private ListenerProof _proof = ListenerProof.Ours;
    private bool _isStopped;

    public StartupWatchTests() => _watch = new(1, Options, () => _proof, () => _sample, () => _isStopped, _time, _posted.Add);

    [Fact]
    public void Fault15_NothingGrows_FailsAfterTheStallTimeout()
    {
        Load(30);
        Idle(59);
        Assert.Equal([new SupervisorEvent.Answered(1)], _posted);
        Idle(2);
        Assert.Equal(ExitCause.StartTimeout, Assert.Single(_posted.OfType<SupervisorEvent.StartupFailed>()).Cause);
        Idle(120);
        Assert.Equal(2, _posted.Count); // said once
    }

    [Fact]
    public void Fault14_LoadsForAnHour_IsNotInterrupted()
    {
        Load(3600);
        Assert.Equal([new SupervisorEvent.Answered(1)], _posted);
    }

    [Fact]
    public void Fault9_StoppedWhileItLoads_IsContinuedOnceAndThenGivenUp()
    {
        Load(5);
        _isStopped = true;
        Idle(6);
        Assert.Equal([new SupervisorEvent.Answered(1), new SupervisorEvent.ContinueDue(1)], _posted);
        _isStopped = false;
        Load(5);
        _isStopped = true;
        Idle(12);
        Assert.Equal(ExitCause.Hung, Assert.Single(_posted.OfType<SupervisorEvent.StartupFailed>()).Cause);
        Assert.Single(_posted.OfType<SupervisorEvent.ContinueDue>());
    }

    [Fact]
    public void Fault37_WeOrTheHostSlept_TheWaitBeginsAnew()
    {
        Load(5);
        Idle(50);
        _time.Advance(TimeSpan.FromHours(1));
        Idle(55);
        Assert.Empty(_posted.OfType<SupervisorEvent.StartupFailed>());
        Idle(10);
        Assert.Single(_posted.OfType<SupervisorEvent.StartupFailed>());
    }

    [Fact]
    public void Fault19_StrangerAnswers_IsAPortConflictAndNeverReady()
    {
        _proof = ListenerProof.Stranger;
        _time.Advance(Options.Period);
        _watch.Add(Report(ProbeResult.Pass(TimeSpan.Zero), ProbeHealth.Healthy));
        Assert.Equal(ExitCause.PortConflict, Assert.Single(_posted.OfType<SupervisorEvent.StartupFailed>()).Cause);
        Assert.Single(_posted);
    }

    private void Load(int seconds) => Run(seconds, pages: 100);

    private void Idle(int seconds) => Run(seconds, pages: 0);

    private void Run(int seconds, int pages)
    {
        for (var i = 0; i < seconds * 2; i++)
        {
            _time.Advance(Options.Period);
            _sample = _sample with { ResidentPages = _sample.ResidentPages + pages };
            _watch.Add(Report(new ProbeResult(ProbeOutcome.Loading, ProbeReason.Status, 503, TimeSpan.Zero), ProbeHealth.Unknown));
        }
    }

    private BackendReport Report(ProbeResult result, ProbeHealth health) => new(result, new(health, 0, 0), false, _time.GetUtcNow());
}
