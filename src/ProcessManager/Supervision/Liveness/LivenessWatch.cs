using LlmGateway.Probes;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>Looks at one process for as long as its generation lasts, and says when the verdict changes. The loop around <see cref="LivenessVerdict"/>.</summary>
/// <remarks>
/// Every second it looks at what costs nothing (the process, the traffic); once a period it asks for <c>/slots</c>, which goes through the
/// engine's own loop. llama-server misses clients that leave when it is asked more often than every 3 s.
/// </remarks>
internal sealed class LivenessWatch(
    int generation, int index, ProbeOptions options, Func<LivenessLimits> limits, LivenessPool pool, ILivenessSenses senses,
    TimeProvider time, Func<double> random, Action<BackendReport>? count, Action<SupervisorEvent> post)
{
    private static readonly TimeSpan LongestTick = TimeSpan.FromSeconds(1);

    private readonly long _born = time.GetTimestamp();
    private readonly TimeSpan _patience = ProbeLoop.Patience(options);
    private LivenessVerdict _verdict = new();
    private SupervisorEvent.LivenessChanged? _told;
    private int _failures;

    /// <summary>Runs until cancelled, or until the process is given up.</summary>
    public async Task RunAsync(CancellationToken over)
    {
        try
        {
            await Task.Delay(options.InitialDelay, time, over);
            var tick = options.Period < LongestTick ? options.Period : LongestTick;
            var (askAt, isLate) = (Now, false);
            while (true)
            {
                var started = Now;
                SlotsLook? slots = null;
                var process = senses.Process(_verdict.WantsGroup);
                if (started >= askAt && !process.IsStopped)
                {
                    askAt = started + ProbeLoop.Jittered(options.Period, random());
                    slots = await senses.SlotsAsync(over);
                    isLate |= Now - started > options.Timeout + _patience;
                }

                if (Look(new(Now, isLate, process, senses.Traffic(), slots), slots is null ? null : Now - started))
                {
                    return;
                }

                var due = Now + tick;
                await Task.Delay(tick, time, over);
                isLate = Now - due > _patience;
            }
        }
        finally
        {
            pool.Well(index);
        }
    }

    private TimeSpan Now => time.GetElapsedTime(_born);

    /// <summary>Folds one look. True when the process is given up.</summary>
    private bool Look(in LivenessSample sample, TimeSpan? asked)
    {
        _verdict = _verdict.Add(sample, limits());
        if (_verdict.IsToContinue)
        {
            post(new SupervisorEvent.ContinueDue(generation));
        }

        var health = _verdict.Health;
        if (health is LivenessHealth.Hung)
        {
            var answer = pool.Ask(index, options.Period);
            Count(isWell: false, asked ?? TimeSpan.Zero);
            if (answer is KillAnswer.Kill)
            {
                post(new SupervisorEvent.FoundHung(generation, _verdict.Finding!));
                return true;
            }

            health = answer is KillAnswer.Panic ? LivenessHealth.Suspect : LivenessHealth.Hung;
        }
        else
        {
            pool.Well(index);
            if (asked is { } elapsed)
            {
                Count(sample.Slots is { Answer: not SlotsAnswer.None } || _verdict.IsWorking, elapsed);
            }
        }

        Tell(new(generation, health, _verdict.IsWorking, _verdict.Leaked, _verdict.Finding));
        return false;
    }

    private void Tell(SupervisorEvent.LivenessChanged news)
    {
        // Its words change with every second, the judgement does not.
        if (_told is not { } told || told with { Finding = news.Finding } != news)
        {
            _told = news;
            post(news);
        }
    }

    private void Count(bool isWell, TimeSpan elapsed)
    {
        _failures = isWell ? 0 : _failures + 1;
        var result = isWell ? ProbeResult.Pass(elapsed) : ProbeResult.Fail(ProbeReason.Timeout, elapsed);
        count?.Invoke(new(result, new(isWell ? ProbeHealth.Healthy : ProbeHealth.Unhealthy, isWell ? 1 : 0, _failures), false, time.GetUtcNow()));
    }
}
