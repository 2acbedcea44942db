using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Scheduling.Placement;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>The permits of one backend. All members are guarded by the queue's lock.</summary>
internal sealed class BackendSlots(Backend backend)
{
    private TaskCompletionSource? _idle;
    private TaskCompletionSource? _wanted;

    public Backend Backend { get; } = backend;

    /// <summary>Slots that may be used now; 0 when the backend takes no work.</summary>
    public int Capacity { get; set; }

    /// <summary>Slots that the server has, whether it takes work or not.</summary>
    public int Total { get; set; }

    /// <summary>True while the server takes work, whatever its breaker says.</summary>
    public bool IsReady { get; set; }

    /// <summary>The beginnings of prompts that it has read.</summary>
    public PrefixMemory Memory { get; } = new();

    public List<SlotLease> Leases { get; } = [];

    /// <summary>Slots held by leases.</summary>
    public int Busy { get; set; }

    /// <summary>Slots that we gave up but that the server may still work on.</summary>
    public int Quarantined { get; set; }

    /// <summary>Slots in use, one way or the other.</summary>
    public int Taken => Busy + Quarantined;

    public int Free => Math.Max(0, Capacity - Taken);

    /// <summary>Share of the slots that is taken.</summary>
    public double Load => (double)Taken / Math.Max(1, Capacity);

    /// <summary>Number of the hand-out in which nobody wanted its free slots.</summary>
    public long UnwantedIn { get; set; }

    /// <summary>True when this request fits now. One that could use more slots than there are takes all of them.</summary>
    /// <remarks>An idle server takes any request whole, also while its slots are opened one by one: else one that needs all of them would wait for ever.</remarks>
    public bool Fits(int slots) => Free > 0 && (Taken == 0 || Free >= Math.Min(slots, Total));

    /// <summary>Completes when no lease is left.</summary>
    public Task WhenIdle() => Busy == 0
        ? Task.CompletedTask
        : (_idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>What to complete, after the lock is left, when the last lease has gone.</summary>
    public TaskCompletionSource? TakeIdleSignal()
    {
        var signal = Busy == 0 ? _idle : null;
        _idle = Busy == 0 ? null : _idle;
        return signal;
    }

    /// <summary>Completes when the slots are wanted: somebody waits, or no more of them are free than taken.</summary>
    public Task WhenWanted(bool isAwaited) => IsWanted(isAwaited)
        ? Task.CompletedTask
        : (_wanted ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Completes <see cref="WhenWanted"/> if it is so; nothing else runs in the caller's lock.</summary>
    public void TellWanted(bool isAwaited)
    {
        if (_wanted is { } wanted && IsWanted(isAwaited))
        {
            wanted.SetResult();
            _wanted = null;
        }
    }

    private bool IsWanted(bool isAwaited) => isAwaited || Free <= Taken;
}
