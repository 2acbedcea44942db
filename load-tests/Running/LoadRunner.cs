using System.Diagnostics;
using System.Text;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Running;

/// <summary>Runs a scenario against a server. Never lets a slow answer delay the next request of an open stage.</summary>
internal sealed class LoadRunner(Scenario scenario, OpenAiClient client, int maxInFlight)
{
    /// <summary>What a worker of a closed loop waits when it was not answered: refusals are quick, and it must not turn into a storm of them.</summary>
    private static readonly TimeSpan AfterFailure = TimeSpan.FromMilliseconds(100);

    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _visits;
    private int _inFlight;
    private int _pending = 1; // visits, and the run itself
    private int _mostInFlight;

    /// <summary>Requests sent and not yet ended.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>The most that there have been at once.</summary>
    public int MostInFlight => Volatile.Read(ref _mostInFlight);

    /// <summary>Time since the beginning.</summary>
    public TimeSpan Elapsed => Measurements is null ? TimeSpan.Zero : Stopwatch.GetElapsedTime(Origin);

    /// <summary>What is being measured, once running.</summary>
    public Measurements? Measurements { get; private set; }

    private long Origin { get; set; }

    /// <summary>Runs all stages and waits for the last answer, or until the last client has lost its patience.</summary>
    /// <param name="cancellationToken">Starts no more requests; what is in flight ends by itself.</param>
    public async Task<Measurements> RunAsync(CancellationToken cancellationToken)
    {
        Origin = Stopwatch.GetTimestamp();
        var measurements = Measurements = new Measurements(scenario, Origin);
        var start = TimeSpan.Zero;
        for (var i = 0; i < scenario.Stages.Length && !cancellationToken.IsCancellationRequested; i++)
        {
            var (stage, stageStart) = (scenario.Stages[i], start);
            start += stage.Duration;
            if (stage is OpenStage open)
            {
                var seed = scenario.Seed + (ulong)i;
                await Task.Factory.StartNew(
                    () => Offer(open, stageStart, seed, cancellationToken), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
                    .ConfigureAwait(false);
            }
            else
            {
                for (var worker = 0; worker < Math.Min(((ClosedStage)stage).Workers, maxInFlight); worker++)
                {
                    _ = WorkAsync(start, cancellationToken);
                }

                await Task.Delay(start - Elapsed > TimeSpan.Zero ? start - Elapsed : TimeSpan.Zero, TimeProvider.System, cancellationToken)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        LeaveVisit();
        await _drained.Task.ConfigureAwait(false);
        return measurements;
    }

    /// <summary>Starts requests when the schedule says so. Runs on a thread of its own, which does nothing else.</summary>
    private void Offer(OpenStage stage, TimeSpan stageStart, ulong seed, CancellationToken cancellationToken)
    {
        foreach (var arrival in ArrivalSchedule.Of(stage, scenario.Rate, seed))
        {
            if (!Pacing.SleepUntil(Origin, stageStart + arrival, cancellationToken))
            {
                return;
            }

            var intended = Origin + (long)((stageStart + arrival).TotalSeconds * Stopwatch.Frequency);
            EnterVisit();
            var job = (Runner: this, Number: Interlocked.Increment(ref _visits), Intended: intended);
            ThreadPool.UnsafeQueueUserWorkItem(static job => _ = job.Runner.VisitAsync(job.Number, job.Intended, CancellationToken.None), job, preferLocal: false);
        }

        Pacing.SleepUntil(Origin, stageStart + stage.Duration, cancellationToken);
    }

    /// <summary>One worker of a closed loop: there is no schedule, so a request is meant to start when it does. One that comes to it late sends one all the same.</summary>
    private async Task WorkAsync(TimeSpan until, CancellationToken cancellationToken)
    {
        EnterVisit();
        await Task.Yield();
        do
        {
            EnterVisit();
            if (!await VisitAsync(Interlocked.Increment(ref _visits), Stopwatch.GetTimestamp(), cancellationToken).ConfigureAwait(false))
            {
                await Task.Delay(AfterFailure, TimeProvider.System, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        while (Elapsed < until && !cancellationToken.IsCancellationRequested);

        LeaveVisit();
    }

    /// <returns>False when something was not answered.</returns>
    private async Task<bool> VisitAsync(long number, long intended, CancellationToken cancellationToken)
    {
        try
        {
            var visit = new Visit(scenario, number);
            StringBuilder? answer = null;
            for (var turn = 1; ; turn++)
            {
                var request = visit.Next(answer?.ToString());
                answer = turn < visit.Turns ? new StringBuilder() : null;
                var record = new RequestRecord { IntendedStart = intended };
                await SendAsync(request, record, answer).ConfigureAwait(false);
                if (record.Outcome != Outcome.Ok || turn == visit.Turns || cancellationToken.IsCancellationRequested)
                {
                    return record.Outcome == Outcome.Ok;
                }

                // The next turn is meant to start when the client has thought, whenever the timer wakes.
                var think = visit.Think();
                intended = record.End + (long)(think.TotalSeconds * Stopwatch.Frequency);
                var left = think - Stopwatch.GetElapsedTime(record.End);
                if (left > TimeSpan.Zero)
                {
                    await Task.Delay(left, TimeProvider.System, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        }
        finally
        {
            LeaveVisit();
        }
    }

    private async Task SendAsync(PlannedRequest request, RequestRecord record, StringBuilder? answer)
    {
        var inFlight = Interlocked.Increment(ref _inFlight);
        for (var most = MostInFlight; inFlight > most; most = MostInFlight)
        {
            Interlocked.CompareExchange(ref _mostInFlight, inFlight, most);
        }

        if (inFlight > maxInFlight)
        {
            (record.Outcome, record.End) = (Outcome.NotSent, Stopwatch.GetTimestamp());
        }
        else
        {
            await client.SendAsync(request, record, scenario.Patience, answer).ConfigureAwait(false);
        }

        Interlocked.Decrement(ref _inFlight);
        Measurements!.Record(record);
    }

    private void EnterVisit() => Interlocked.Increment(ref _pending);

    private void LeaveVisit()
    {
        if (Interlocked.Decrement(ref _pending) == 0)
        {
            _drained.SetResult();
        }
    }
}
