using System.Collections.Immutable;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scaling.Residency;

namespace LlmGateway.Gateway.Scaling;

/// <summary>One model as its keeper knows it. Touched by the keeper's loop only.</summary>
internal sealed class KeptModel(Model model, long now)
{
    public Model Model { get; set; } = model;

    public string Name => Model.Name;

    public ResidencyPhase Phase { get; private set; } = ResidencyPhase.Unloaded;

    /// <summary>Timestamp at which <see cref="Phase"/> began.</summary>
    public long Since { get; private set; } = now;

    /// <summary>Timestamp since which somebody who has no place in the queue wants it: an operator, the start, a call that takes no slot.</summary>
    public long? WantedSince { get; set; }

    /// <summary>How long its last load took.</summary>
    public TimeSpan LoadCost { get; set; }

    /// <summary>Loads in a row that failed.</summary>
    public int Failures { get; set; }

    /// <summary>Timestamp before which it is not tried again.</summary>
    public long? RetryAt { get; set; }

    /// <summary>What one process of it takes, and why that is not known.</summary>
    public (Footprint? Size, string? Unknown) PerReplica { get; set; }

    /// <summary>Timestamp at which that was looked up, and what GPUs there were; null when it is to be looked up anew.</summary>
    public (long At, ImmutableArray<long> Gpus)? Sized { get; set; }

    /// <summary>Timestamp since which fewer processes would do; null when they would not.</summary>
    public long? CalmSince { get; set; }

    /// <summary>The backend that takes no new work, to be ended when it is idle; null when none.</summary>
    public string? GivingBack { get; set; }

    /// <summary>Processes that somebody has said it should have, and that there was no memory for yet; null when there are as many.</summary>
    public int? GrowTo { get; set; }

    /// <summary>Why it waits or was refused, as last told.</summary>
    public string? Shortage { get; set; }

    /// <summary>No longer configured; gone when its processes are.</summary>
    public bool IsRemoved { get; set; }

    /// <summary>What is being done with its source: one thing after another.</summary>
    public Task Work { get; set; } = Task.CompletedTask;

    /// <summary>Operators who wait for it to be loaded, to be unloaded, to have as many processes as they said.</summary>
    public List<TaskCompletionSource<string?>> LoadWaiters { get; } = [];

    public List<TaskCompletionSource<string?>> UnloadWaiters { get; } = [];

    public List<TaskCompletionSource<string?>> GrowWaiters { get; } = [];

    /// <summary>True when it stays loaded whatever others want: it was configured to be there from the start, and excludes nobody.</summary>
    public bool IsPinned => !Model.IsLocal || (Model.Options.Load == LoadMode.Eager && Model.Options.Group is null);

    public void Enter(ResidencyPhase phase, long now)
    {
        (Phase, Since) = (phase, now);
        if (phase == ResidencyPhase.Loading)
        {
            (CalmSince, GivingBack) = (null, null);
        }
    }

    public static void Tell(List<TaskCompletionSource<string?>> waiters, string? problem)
    {
        waiters.ForEach(waiter => waiter.TrySetResult(problem));
        waiters.Clear();
    }
}
