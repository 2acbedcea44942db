using System.Collections.Immutable;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Replicas;

/// <inheritdoc cref="IReplicaSet"/>
internal sealed class ReplicaSet : IReplicaSet
{
    private readonly ImmutableArray<Supervisor> _supervisors;
    private int _stopping;

    public ReplicaSet(ReplicaSetOptions options, IReplicaTraffic traffic, ReplicaSurroundings around)
    {
        Model = options.Model;
        _supervisors = [.. Enumerable.Range(0, options.Replicas)
            .Select(index => new Supervisor(options, index, around, traffic, status => StatusChanged?.Invoke(status)))];
    }

    public event Action<ReplicaStatus>? StatusChanged;

    public string Model { get; }

    public ImmutableArray<ReplicaStatus> Statuses => [.. _supervisors.Select(supervisor => supervisor.Status)];

    public void Start()
    {
        ThrowIfStopping();
        foreach (var supervisor in _supervisors)
        {
            supervisor.Ask(ReplicaVerb.Start);
        }
    }

    public Task CommandAsync(int index, ReplicaVerb verb, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _supervisors.Length);
        if (verb is not ReplicaVerb.Stop)
        {
            ThrowIfStopping();
        }

        return _supervisors[index].CommandAsync(verb, cancellationToken);
    }

    public IReadOnlyList<string> LogTail(int index, int lines)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _supervisors.Length);
        return _supervisors[index].Output.Tail(lines);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _stopping);
        try
        {
            // A start that was on its way when the flag went up may still have overtaken the stop; a second one can't.
            do
            {
                await Task.WhenAll(_supervisors.Select(supervisor => supervisor.StopAsync(cancellationToken)));
            }
            while (_supervisors.Any(supervisor => supervisor.Status.State is not ReplicaState.Stopped));
        }
        finally
        {
            Interlocked.Decrement(ref _stopping);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var supervisor in _supervisors.Select(supervisor => supervisor.DisposeAsync().AsTask()).ToArray())
        {
            await supervisor;
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
