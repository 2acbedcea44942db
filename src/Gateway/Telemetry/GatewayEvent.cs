namespace LlmGateway.Gateway.Telemetry;

/// <summary>What kind of thing happened. The names are the outside's, in snake case there.</summary>
internal enum EventKind
{
    /// <summary>A backend changed its state.</summary>
    State,

    /// <summary>A process ended that nobody had asked to end.</summary>
    Exit,

    /// <summary>A process was started again.</summary>
    Restart,

    /// <summary>A restart budget was spent.</summary>
    Limit,

    /// <summary>A breaker opened, half-opened or closed.</summary>
    Breaker,

    /// <summary>Requests were refused: one event a burst.</summary>
    Shed,

    /// <summary>Requests went back to their places in the queue because their backend failed: one event a burst.</summary>
    Reschedule,

    /// <summary>The configuration was applied, or refused.</summary>
    Reload,

    /// <summary>A model was loaded, unloaded, evicted or scaled.</summary>
    Model,

    /// <summary>Memory ran short, or is no longer.</summary>
    Memory,

    /// <summary>An operator gave a command.</summary>
    Command,

    /// <summary>The gateway itself: started, draining, starved.</summary>
    Gateway,
}

/// <summary>How much an event deserves a person's look.</summary>
internal enum EventLevel
{
    Info,
    Warning,
    Error,
}

/// <summary>Something that happened. Never holds a prompt, a completion or a key.</summary>
/// <param name="Id">Grows from event to event, over restarts of the gateway too; below 2^53.</param>
/// <param name="At">When.</param>
/// <param name="Kind">What kind of thing.</param>
/// <param name="Level">How much it deserves a look.</param>
/// <param name="Subject">What it happened to: a backend (<c>model/0</c>), a model, or <c>gateway</c>.</param>
/// <param name="Message">One sentence for a person.</param>
/// <param name="From">State or phase before, where there is one.</param>
/// <param name="To">State or phase after, where there is one.</param>
internal sealed record GatewayEvent(
    long Id, DateTimeOffset At, EventKind Kind, EventLevel Level, string Subject, string Message, string? From, string? To);
