using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>Follows one start: who answers, what it says, and whether it gets on. Fed by the startup probe, one report at a time.</summary>
/// <remarks>
/// There is no fixed time to start in: a large model on a slow disk may take an hour and be well. A start fails when nothing grows for
/// <see cref="ProbeOptions.StallTimeout"/>, or after <see cref="HardLimit"/> of whatever kind of progress. A process that somebody has
/// stopped is continued once (<see cref="StopNotes"/>). After a pause of our own, or of the host, the wait for progress begins anew.
/// </remarks>
/// <param name="generation">Whose start it is.</param>
/// <param name="options">The startup probe.</param>
/// <param name="proof">Who listens at its address.</param>
/// <param name="sample">What grows while it gets on.</param>
/// <param name="isStopped">Whether a signal has stopped it.</param>
/// <param name="time">The clock.</param>
/// <param name="post">Takes what is found.</param>
internal sealed class StartupWatch(
    int generation, ProbeOptions options, Func<ListenerProof> proof, Func<ProgressSample> sample, Func<bool> isStopped, TimeProvider time, Action<SupervisorEvent> post)
{
    /// <summary>A loader that spins for ever makes progress, too.</summary>
    public static readonly TimeSpan HardLimit = TimeSpan.FromHours(6);

    private readonly long _started = time.GetTimestamp();
    private readonly TimeSpan _longestPause = options.Period + options.Timeout + ProbeLoop.Patience(options);
    private StartupProgress _progress;
    private StopNotes _stop;
    private TimeSpan _lookedAt;
    private bool _proven;
    private bool _answered;
    private bool _over;

    public void Add(BackendReport report)
    {
        if (_over)
        {
            return;
        }

        if (report.Result.PortIsOpen && !_proven)
        {
            switch (proof())
            {
                case ListenerProof.Stranger:
                    Fail(ExitCause.PortConflict, "Another process answers on its address. Another address is tried.");
                    return;
                case ListenerProof.Nobody: // whoever answered has gone: ask again
                    break;
                default:
                    _proven = true;
                    break;
            }
        }

        if (_proven && report.Verdict.Health is ProbeHealth.Healthy)
        {
            _over = true;
            post(new SupervisorEvent.StartupPassed(generation));
            return;
        }

        if (_proven && !_answered)
        {
            _answered = true;
            post(new SupervisorEvent.Answered(generation));
        }

        CheckProgress();
    }

    private void CheckProgress()
    {
        var now = time.GetElapsedTime(_started);
        if (now - _lookedAt > _longestPause)
        {
            _progress = _progress with { LastAt = now };
            _stop = StopNotes.Begin(isStopped(), now);
        }

        _lookedAt = now;
        _stop = _stop.Add(isStopped(), now);
        if (_stop.IsToContinue)
        {
            post(new SupervisorEvent.ContinueDue(generation));
        }

        _progress = _progress.Add(sample(), now);
        if (_stop.IsHopeless)
        {
            Fail(ExitCause.Hung, "Its process is stopped, and SIGCONT did not help.");
        }
        else if (now - _progress.LastAt > options.StallTimeout)
        {
            Fail(ExitCause.StartTimeout,
                $"It did not come up: for {options.StallTimeout.TotalSeconds:0.#} s no CPU time, memory, reading or output. Read the captured output; if it only needs longer, raise Probes:Startup:StallTimeout.");
        }
        else if (now > HardLimit)
        {
            Fail(ExitCause.StartTimeout, $"It did not come up within {HardLimit.TotalHours:0} hours.");
        }
    }

    private void Fail(ExitCause cause, string message)
    {
        _over = true;
        post(new SupervisorEvent.StartupFailed(generation, cause, message));
    }
}
