using Microsoft.Extensions.Logging;

namespace LlmGateway.Probes;

/// <summary>Asks one probe again and again and hands each finding on. The only timer of this room.</summary>
/// <remarks>
/// One try is in flight at a time: a slow answer delays the next try instead of piling up. The period is jittered by 10 % so that
/// many backends, started together, do not stay in step. A failure that was found late, because our own process or the host was held
/// up, counts for nothing: it says more about us than about the backend. After <see cref="DisposeAsync"/> no report is delivered.
/// </remarks>
public sealed class ProbeLoop : IAsyncDisposable
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(1);

    /// <summary>Periods by which a try may be late before its failure counts for nothing, and the least that is meant by it.</summary>
    private const int LatePeriods = 2;

    /// <summary>What a first, shorter period grows by from try to try.</summary>
    private const double Growth = 1.5;

    private static readonly TimeSpan LeastPatience = TimeSpan.FromSeconds(1);

    private readonly Probe _probe;
    private readonly ProbeOptions _options;
    private readonly Action<BackendReport> _report;
    private readonly TimeProvider _time;
    private readonly Func<double> _random;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop;
    private readonly Task _run;
    private int _isDisposed;

    private ProbeLoop(Probe probe, ProbeOptions options, Action<BackendReport> report, TimeProvider time, Func<double> random, ILogger logger, CancellationToken stop)
    {
        (_probe, _options, _report, _time, _random, _logger) = (probe, options, report, time, random, logger);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _run = Task.Run(RunAsync, CancellationToken.None);
    }

    /// <summary>Starts asking after the initial delay.</summary>
    /// <param name="probe">What to ask; the loop owns it and disposes it.</param>
    /// <param name="options">Delay, period and thresholds.</param>
    /// <param name="report">Called after each try, never twice at a time; must not block or throw.</param>
    /// <param name="time">The clock.</param>
    /// <param name="random">Values from 0 up to 1, for the jitter.</param>
    /// <param name="logger">For a callback that throws all the same.</param>
    /// <param name="cancellationToken">Ends the loop, as disposing it does.</param>
    public static ProbeLoop Start(
        Probe probe, ProbeOptions options, Action<BackendReport> report, TimeProvider time, Func<double> random, ILogger logger, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(probe);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(report);
        ArgumentNullException.ThrowIfNull(time);
        ArgumentNullException.ThrowIfNull(random);
        ArgumentNullException.ThrowIfNull(logger);
        return new(probe, options, report, time, random, logger, cancellationToken);
    }

    /// <summary>The time from the start of one try to the start of the next: <paramref name="period"/> ± 10 %.</summary>
    /// <param name="period">The probe's period.</param>
    /// <param name="random">From 0 up to 1.</param>
    public static TimeSpan Jittered(TimeSpan period, double random) => period * (0.9 + (0.2 * random));

    /// <summary>A wait whose end is moved to the nearest hundredth of a period, the same for all loops: waking once for many costs a fraction of waking for each.</summary>
    /// <param name="wait">Until the next try.</param>
    /// <param name="now">Time since any moment that all loops share.</param>
    /// <param name="period">The probe's period.</param>
    /// <returns>No less than a millisecond.</returns>
    public static TimeSpan Together(TimeSpan wait, TimeSpan now, TimeSpan period)
    {
        var grain = Math.Max(1, period.Ticks / 100);
        var end = (now.Ticks + wait.Ticks + (grain / 2)) / grain * grain;
        return TimeSpan.FromTicks(Math.Max(TimeSpan.TicksPerMillisecond, end - now.Ticks));
    }

    /// <summary>How late we ourselves may be.</summary>
    public static TimeSpan Patience(ProbeOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return LatePeriods * options.Period > LeastPatience ? LatePeriods * options.Period : LeastPatience;
    }

    private async Task RunAsync()
    {
        var verdict = default(ProbeVerdict);
        var patience = Patience(_options);
        try
        {
            await Task.Delay(_options.InitialDelay, _time, _stop.Token);
            var period = _options.FirstPeriod ?? _options.Period;
            var isLate = false;
            while (true)
            {
                var started = _time.GetTimestamp();
                var result = await _probe.CheckAsync(_stop.Token);
                isLate |= result.Elapsed > _options.Timeout + patience;
                if (!isLate || result.Outcome is ProbeOutcome.Pass)
                {
                    var next = verdict.Add(result, PassesNeeded(verdict), _options.FailureThreshold);
                    Deliver(new(result, next, next.Health != verdict.Health, _time.GetUtcNow()));
                    verdict = next;
                }

                var left = Jittered(period, _random()) - _time.GetElapsedTime(started);
                var asleep = _time.GetTimestamp();
                var wait = Together(left, _time.GetElapsedTime(0, asleep), period);
                await Task.Delay(wait, _time, _stop.Token);
                isLate = _time.GetElapsedTime(asleep) - wait > patience;
                period = Growth * period < _options.Period ? Growth * period : _options.Period;
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Asked to.
        }
        finally
        {
            _probe.Dispose();
        }
    }

    private int PassesNeeded(ProbeVerdict verdict) =>
        verdict.Health is ProbeHealth.Unhealthy && _options.RecoveryThreshold is { } recovery ? recovery : _options.SuccessThreshold;

    private void Deliver(BackendReport report)
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        try
        {
            _report(report);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.ReportFailed(_logger, e);
        }
    }

    /// <summary>Ends the loop; returns within a second even when a try does not let go. Once is enough, more does no harm.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
        {
            return;
        }

        await _stop.CancelAsync();
        try
        {
            await _run.WaitAsync(StopPatience);
        }
        catch (TimeoutException)
        {
            return; // the token stays usable for the straggler
        }

        _stop.Dispose();
    }
}
