using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scaling.Residency;

/// <summary>Where a model stands between absent and serving.</summary>
internal enum ResidencyPhase
{
    /// <summary>Nothing of it runs.</summary>
    Unloaded,

    /// <summary>Starting; holds its memory.</summary>
    Loading,

    /// <summary>Serving.</summary>
    Loaded,

    /// <summary>Grants nothing new; what runs may finish, to make room.</summary>
    Draining,

    /// <summary>Idle and ending; holds its memory until its processes are gone.</summary>
    Unloading,
}

/// <summary>One model as the decision sees it: a value of this moment.</summary>
internal sealed record ResidentModel
{
    public required string Name { get; init; }

    public ResidencyPhase Phase { get; init; }

    /// <summary>Models of one group exclude each other; null is none.</summary>
    public string? Group { get; init; }

    /// <summary>Memory that it takes while it is not <see cref="ResidencyPhase.Unloaded"/>, all replicas together.</summary>
    public Footprint Memory { get; init; }

    /// <summary>Memory of one replica.</summary>
    public Footprint PerReplica { get; init; }

    /// <summary>Replicas that it is to have now.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Replicas that it keeps although another model needs room, while it is resident.</summary>
    public int LeastReplicas { get; init; } = 1;

    /// <summary>Replicas that it should have; null when it is content.</summary>
    public int? WantedReplicas { get; init; }

    /// <summary>True when a person has said so: then idle models make room for it, and an answer is due.</summary>
    public bool IsGrowthOrdered { get; init; }

    /// <summary>The part of <see cref="Memory"/> whose replicas are surplus and ending already.</summary>
    public Footprint Ending { get; init; }

    /// <summary>Why its size is not known although it must be; null when it is, or need not be.</summary>
    public string? SizeUnknown { get; init; }

    /// <summary>True when it may not be unloaded for another model's sake.</summary>
    public bool IsPinned { get; init; }

    /// <summary>Whose room is taken last.</summary>
    public Priority KeepPriority { get; init; } = Priority.Normal;

    /// <summary>True while requests run on it.</summary>
    public bool IsBusy { get; init; }

    /// <summary>Requests that wait for it.</summary>
    public int Waiting { get; init; }

    /// <summary>How long the first of those who want it has waited, an operator's wish included; null when nobody wants it.</summary>
    public TimeSpan? WantedFor { get; init; }

    /// <summary>Time since its last request ended; zero while one runs or waits.</summary>
    public TimeSpan IdleFor { get; init; }

    /// <summary>Time since it began to serve, or went on after a drain that was given up.</summary>
    public TimeSpan ResidentFor { get; init; }

    /// <summary>Time in <see cref="ResidencyPhase.Draining"/>.</summary>
    public TimeSpan DrainingFor { get; init; }

    /// <summary>How long its last load took: what it costs to have it back.</summary>
    public TimeSpan LoadCost { get; init; }

    /// <summary>Unload after this long without a request; null is never.</summary>
    public TimeSpan? IdleTimeout { get; init; }

    public bool IsIdle => !IsBusy && Waiting == 0;

    /// <summary>True while it takes memory and excludes its group.</summary>
    public bool IsResident => Phase != ResidencyPhase.Unloaded;

    /// <summary>True when it is on its way out.</summary>
    public bool IsLeaving => Phase is ResidencyPhase.Draining or ResidencyPhase.Unloading;

    /// <summary>Replicas that it can do without; those that end already are not counted again.</summary>
    public int SurplusReplicas => Phase == ResidencyPhase.Loaded && Ending.IsNothing && !PerReplica.IsNothing ? Math.Max(0, Replicas - LeastReplicas) : 0;
}

/// <summary>What bounds the models together.</summary>
/// <param name="Budget">Memory for all of them.</param>
/// <param name="IsPressed">The machine is short of memory right now: nothing more may start.</param>
/// <param name="MinimumResidence">A model that works is not asked to make room before it has served this long, or twice its load time if that is longer.</param>
/// <param name="DrainPatience">A drain that takes longer is given up: nothing is ended while it works.</param>
internal sealed record ResidencyLimits(Footprint Budget, bool IsPressed, TimeSpan MinimumResidence, TimeSpan DrainPatience);

/// <summary>One thing to do.</summary>
internal abstract record ResidencyStep(string Model)
{
    /// <summary>Start it: it fits.</summary>
    public sealed record Load(string Model) : ResidencyStep(Model);

    /// <summary>End it, if it is idle still.</summary>
    /// <param name="Model">The idle model.</param>
    /// <param name="For">The model that needs its room; null when it has been idle for too long, or memory is short.</param>
    public sealed record Unload(string Model, string? For) : ResidencyStep(Model);

    /// <summary>Grant nothing new on it: it works, and another one has waited long enough.</summary>
    public sealed record Drain(string Model, string For) : ResidencyStep(Model);

    /// <summary>Grant again: nobody needs its room any more, or it took too long.</summary>
    public sealed record Resume(string Model) : ResidencyStep(Model);

    /// <summary>It waits for room.</summary>
    /// <param name="Model">The model that is wanted.</param>
    /// <param name="Why">With the numbers, for a person; null when it only waits for its group.</param>
    public sealed record Wait(string Model, string? Why) : ResidencyStep(Model);

    /// <summary>It can't ever fit as things are configured: tell whoever waits.</summary>
    public sealed record Refuse(string Model, string Why) : ResidencyStep(Model);

    /// <summary>Give it more replicas: they fit.</summary>
    public sealed record Grow(string Model, int Replicas) : ResidencyStep(Model);

    /// <summary>The replicas that a person has asked for don't fit: say so.</summary>
    public sealed record RefuseGrowth(string Model, string Why) : ResidencyStep(Model);

    /// <summary>Grant nothing new on its last replica, and end that when it is idle. Not said any more, it goes on.</summary>
    /// <param name="Model">The model with more replicas than it needs.</param>
    /// <param name="For">The model that needs the room; null when its own load is low.</param>
    public sealed record GiveBack(string Model, string? For) : ResidencyStep(Model);
}
