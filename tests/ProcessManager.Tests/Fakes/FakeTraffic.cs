using System.Collections.Concurrent;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Tests.Fakes;

/// <summary>Traffic that drains when it is told to.</summary>
internal sealed class FakeTraffic : IReplicaTraffic
{
    private TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public FakeTraffic(bool busy = false)
    {
        if (!busy)
        {
            _drained.SetResult();
        }
    }

    public ConcurrentQueue<string> Calls { get; } = new();

    public void Finish() => _drained.TrySetResult();

    public async Task DrainedAsync(string backend, int generation, CancellationToken cancellationToken)
    {
        Calls.Enqueue($"drain {backend} {generation}");
        await _drained.Task.WaitAsync(cancellationToken);
    }

    /// <summary>What the gateway is said to have on the replica.</summary>
    public TrafficLook Now { get; set; }

    public TrafficLook Look(string backend, int generation) => Now;

    public void Drop(string backend, int generation) => Calls.Enqueue($"drop {backend} {generation}");
}
