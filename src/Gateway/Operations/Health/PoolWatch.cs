using System.Diagnostics.Metrics;

namespace LlmGateway.Gateway.Operations.Health;

/// <summary>Watches, from a thread of its own, how long the thread pool lets work wait: says so in the log and in the metrics when it is exhausted.</summary>
internal sealed class PoolWatch : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(500);

    /// <summary>Work that waits so long for a thread is starved, not late.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ManualResetEventSlim _stop = new();
    private readonly Thread _thread;
    private long _queuedAt;
    private long _lastDelay;
    private long _starvations;
    private volatile bool _isOut;
    private bool _isStarved;

    public PoolWatch(IMeterFactory meters, TimeProvider time, ILogger<PoolWatch> logger)
    {
        (_time, _logger) = (time, logger);
        var meter = meters.Create(BuildMetrics.MeterName);
        meter.CreateObservableGauge("llmgateway_thread_pool_delay_seconds", () => Delay.TotalSeconds, description: "How long work last waited for a thread of the pool.");
        meter.CreateObservableCounter("llmgateway_thread_pool_starvations", () => Volatile.Read(ref _starvations), description: "How often the thread pool ran nothing for 2 s.");
        _thread = new Thread(Run) { IsBackground = true, Name = "thread pool watch" };
        _thread.Start();
    }

    /// <summary>The wait of the probe that is out, or of the last one.</summary>
    public TimeSpan Delay => _isOut ? _time.GetElapsedTime(Volatile.Read(ref _queuedAt)) : TimeSpan.FromTicks(Volatile.Read(ref _lastDelay));

    public void Dispose()
    {
        _stop.Set();
        _thread.Join();
        _stop.Dispose();
    }

    private void Run()
    {
        while (!_stop.Wait(Period))
        {
            if (!_isOut)
            {
                if (_isStarved)
                {
                    _isStarved = false;
                    Log.PoolRecovered(_logger, Delay);
                }

                Volatile.Write(ref _queuedAt, _time.GetTimestamp());
                _isOut = true;
                ThreadPool.UnsafeQueueUserWorkItem(static watch => watch.Arrived(), this, preferLocal: false);
            }
            else if (!_isStarved && Delay > Limit)
            {
                _isStarved = true;
                Interlocked.Increment(ref _starvations);
                Log.PoolStarved(_logger, Delay, ThreadPool.ThreadCount, ThreadPool.PendingWorkItemCount);
            }
        }
    }

    private void Arrived()
    {
        Volatile.Write(ref _lastDelay, _time.GetElapsedTime(Volatile.Read(ref _queuedAt)).Ticks);
        _isOut = false;
    }
}
