using System.Collections.Immutable;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What one start of a replica holds: permit, address, process, probes, timer. Given back as a whole by <see cref="Dispose"/>.</summary>
/// <remarks>Effects that run beside the supervisor put things in; what comes after the end is disposed at once.</remarks>
internal sealed class Generation(int number) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _over = new();
    private readonly List<IDisposable> _held = [];
    private CancellationTokenSource? _drain;
    private ITimer? _timer;
    private IDisposable? _permit;
    private ProbeLoop? _probe;
    private ProbeLoop? _livenessProbe;
    private CancellationTokenSource? _liveness;
    private bool _isOver;

    public int Number => number;

    /// <summary>Cancelled when the generation is over.</summary>
    public CancellationToken Over => _over.Token;

    public IChildProcess? Child { get; set; }

    public LiveProcess? Process { get; set; }

    public ImmutableArray<string> Arguments { get; set; } = [];

    public void Hold(IDisposable held)
    {
        lock (_gate)
        {
            if (!_isOver)
            {
                _held.Add(held);
                return;
            }
        }

        held.Dispose();
    }

    public void HoldPermit(IDisposable permit)
    {
        lock (_gate)
        {
            if (!_isOver)
            {
                _permit = permit;
                return;
            }
        }

        permit.Dispose();
    }

    public void ReleasePermit()
    {
        lock (_gate)
        {
            _permit?.Dispose();
            _permit = null;
        }
    }

    /// <summary>One timer at a time: each state has at most one, and the old state's is void.</summary>
    public void SetTimer(ITimer timer)
    {
        lock (_gate)
        {
            _timer?.Dispose();
            _timer = _isOver ? null : timer;
            if (_isOver)
            {
                timer.Dispose();
            }
        }
    }

    /// <summary>One probe that gates at a time: startup, then readiness.</summary>
    public void SetProbe(ProbeLoop probe) => Replace(ref _probe, probe);

    /// <summary>The liveness probe, when it is one that asks.</summary>
    public void SetLivenessProbe(ProbeLoop probe) => Replace(ref _livenessProbe, probe);

    /// <summary>A token for looking at the process's liveness; cancelled with the other probes.</summary>
    public CancellationToken BeginLiveness()
    {
        lock (_gate)
        {
            _liveness ??= CancellationTokenSource.CreateLinkedTokenSource(_over.Token);
            return _liveness.Token;
        }
    }

    /// <summary>Nobody asks any more.</summary>
    public void EndProbes()
    {
        Replace(ref _probe, null);
        Replace(ref _livenessProbe, null);
        lock (_gate)
        {
            _liveness?.Cancel();
        }
    }

    private void Replace(ref ProbeLoop? slot, ProbeLoop? probe)
    {
        ProbeLoop? last;
        lock (_gate)
        {
            (last, slot) = _isOver ? (probe, null) : (slot, probe);
        }

        _ = last?.DisposeAsync().AsTask(); // cancelled at once; its end need not be awaited, since late reports of a generation are void
    }

    /// <summary>A token for one wait for the end of traffic; the last one's is cancelled.</summary>
    public CancellationToken BeginDrain()
    {
        lock (_gate)
        {
            _drain?.Cancel();
            _drain = CancellationTokenSource.CreateLinkedTokenSource(_over.Token);
            return _drain.Token;
        }
    }

    public void Dispose()
    {
        IDisposable[] held;
        lock (_gate)
        {
            if (_isOver)
            {
                return;
            }

            _isOver = true;
            held = [.. _held];
            _permit?.Dispose();
            _timer?.Dispose();
        }

        _over.Cancel();
        EndProbes();
        Array.ForEach(held, one => one.Dispose());
        _drain?.Dispose();
        _liveness?.Dispose();

        // _over is not disposed: an effect that is just ending may still look at its token, and a source without a timer holds nothing.
    }
}
