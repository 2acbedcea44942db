using System.Collections.Immutable;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Replicas;

/// <inheritdoc cref="IReplicaSet"/>
internal sealed class ReplicaSet : IReplicaSet
{
    private readonly IReplicaTraffic _traffic;
    private readonly ReplicaSurroundings _around;
    private readonly LivenessPool _pool;

    /// <summary>Held by whoever changes which supervisors there are.</summary>
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly CancellationTokenSource _disposed = new();

    /// <summary>Written only by the holder of <see cref="_changing"/>.</summary>
    private volatile IReadOnlyList<Seat> _seats;
    private volatile bool _isStarted;
    private int _stopping;

    public ReplicaSet(ReplicaSetOptions options, IReplicaTraffic traffic, ReplicaSurroundings around)
    {
        (Model, _traffic, _around, _seats) = (options.Model, traffic, around, []);
        _pool = new LivenessPool(Model, () => _seats.Count, around.Time, around.Logger);
        _seats = [.. Enumerable.Range(0, options.Replicas).Select(index => NewSeat(options, index))];
    }

    public event Action<ReplicaStatus>? StatusChanged;

    public string Model { get; }

    public ImmutableArray<ReplicaStatus> Statuses => [.. _seats.Select(seat => seat.Supervisor.Status)];

    public void Start()
    {
        ThrowIfStopping();
        _isStarted = true;
        foreach (var seat in _seats)
        {
            seat.Supervisor.Ask(ReplicaVerb.Start);
        }
    }

    public Task CommandAsync(int index, ReplicaVerb verb, CancellationToken cancellationToken)
    {
        var supervisor = At(index);
        if (verb is not ReplicaVerb.Stop)
        {
            ThrowIfStopping();
        }

        return supervisor.CommandAsync(verb, cancellationToken);
    }

    public IReadOnlyList<string> LogTail(int index, int lines) => At(index).Output.Tail(lines);

    public LogPage ReadLog(int index, long from, int most) => At(index).Output.Read(from, most);

    public async Task<ReplicaStatus?> ApplyAsync(ReplicaSetOptions options, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _disposed.Token);
        await _changing.WaitAsync(either.Token);
        try
        {
            foreach (var seat in _seats)
            {
                seat.Supervisor.Adopt(options);
            }

            await ShrinkAsync(options.Replicas, either.Token);
            for (var index = 0; index < _seats.Count; index++)
            {
                if (await ReplaceAsync(options, index, either.Token) is { } stranded)
                {
                    return stranded;
                }
            }

            Grow(options);
            return null;
        }
        finally
        {
            _changing.Release();
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _stopping);
        _isStarted = false;
        try
        {
            // A start that was on its way when the flag went up may still have overtaken the stop; a second one can't.
            do
            {
                await Task.WhenAll(_seats.Select(seat => seat.Supervisor.StopAsync(cancellationToken)));
            }
            while (_seats.Any(seat => seat.Supervisor.Status.State is not ReplicaState.Stopped));
        }
        finally
        {
            Interlocked.Decrement(ref _stopping);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed.IsCancellationRequested)
        {
            return;
        }

        await _disposed.CancelAsync();
        await _changing.WaitAsync();
        foreach (var disposal in _seats.Select(seat => seat.Supervisor.DisposeAsync().AsTask()).ToArray())
        {
            await disposal;
        }
    }

    private Supervisor At(int index)
    {
        var seats = _seats;
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, seats.Count);
        return seats[index].Supervisor;
    }

    private Seat NewSeat(ReplicaSetOptions options, int index) =>
        new(new Supervisor(options, index, _around, _pool, _traffic, status => StatusChanged?.Invoke(status)), options.Revision);

    private async Task ShrinkAsync(int replicas, CancellationToken cancellationToken)
    {
        Seat[] surplus = [.. _seats.Skip(replicas)];
        await Task.WhenAll(surplus.Select(seat => seat.Supervisor.CommandAsync(ReplicaVerb.Stop, cancellationToken)));
        if (surplus.Length > 0)
        {
            _seats = [.. _seats.Take(replicas)];
        }

        foreach (var seat in surplus)
        {
            await seat.Supervisor.DisposeAsync();
        }
    }

    /// <summary>Gives the place to a replica of the wanted revision.</summary>
    /// <returns>The new one's status when it was to come up and did not.</returns>
    private async Task<ReplicaStatus?> ReplaceAsync(ReplicaSetOptions options, int index, CancellationToken cancellationToken)
    {
        var old = _seats[index];
        if (old.Revision == options.Revision)
        {
            if (old.IsEnding)
            {
                // It was on its way out when this revision was wanted again.
                old.IsEnding = false;
                StartIfWanted(old);
            }

            return null;
        }

        // One that an operator has stopped stays down, in its new form too.
        old.WasUp |= old.Supervisor.Status.State is not ReplicaState.Stopped;
        old.IsEnding = old.WasUp;
        await old.Supervisor.CommandAsync(ReplicaVerb.Stop, cancellationToken);
        await old.Supervisor.DisposeAsync();
        var next = NewSeat(options, index);
        _seats = [.. _seats.Take(index), next, .. _seats.Skip(index + 1)];
        StatusChanged?.Invoke(next.Supervisor.Status);
        if (!old.WasUp || !_isStarted)
        {
            return null;
        }

        await next.Supervisor.CommandAsync(ReplicaVerb.Start, cancellationToken);
        return next.Supervisor.Status is { IsRoutable: false, State: not ReplicaState.Stopped } status ? status : null;
    }

    private void Grow(ReplicaSetOptions options)
    {
        Seat[] missing = [.. Enumerable.Range(0, options.Replicas).Skip(_seats.Count).Select(index => NewSeat(options, index))];
        if (missing.Length == 0)
        {
            return;
        }

        _seats = [.. _seats, .. missing];
        foreach (var seat in missing)
        {
            StatusChanged?.Invoke(seat.Supervisor.Status);
            StartIfWanted(seat);
        }
    }

    private void StartIfWanted(Seat seat)
    {
        if (_isStarted)
        {
            seat.Supervisor.Ask(ReplicaVerb.Start);
            if (!_isStarted)
            {
                // A stop came in between and may not have seen it.
                seat.Supervisor.Ask(ReplicaVerb.Stop);
            }
        }
    }

    /// <summary>What must be gone when <see cref="StopAsync"/> returns must not be called back while it runs.</summary>
    private void ThrowIfStopping()
    {
        if (Volatile.Read(ref _stopping) > 0)
        {
            throw new InvalidOperationException($"The replicas of {Model} are being stopped.");
        }
    }
}

/// <summary>One replica's place in the set, and what its process is started from.</summary>
internal sealed class Seat(Supervisor supervisor, string revision)
{
    public Supervisor Supervisor { get; } = supervisor;

    public string Revision { get; } = revision;

    /// <summary>Was asked to stop in order to be replaced.</summary>
    public bool IsEnding { get; set; }

    /// <summary>Ran, or tried to, when its replacement began.</summary>
    public bool WasUp { get; set; }
}
