namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What a transition wants done. Effects are carried out in order, never awaited, and report back as events.</summary>
internal abstract record Effect
{
    /// <summary>Stand in line for a start permit.</summary>
    internal sealed record RequestPermit(int Generation) : Effect;

    /// <summary>Let the next one start.</summary>
    internal sealed record ReleasePermit(int Generation) : Effect;

    /// <summary>Check, take an address, launch.</summary>
    internal sealed record Launch(int Generation) : Effect;

    /// <summary>Ask the startup probe and watch progress.</summary>
    internal sealed record WatchStartup(int Generation) : Effect;

    /// <summary>Ask the server who it is.</summary>
    internal sealed record Warm(int Generation) : Effect;

    /// <summary>Begin the readiness probe.</summary>
    internal sealed record WatchReadiness(int Generation) : Effect;

    /// <summary>Begin the liveness probe.</summary>
    internal sealed record WatchLiveness(int Generation) : Effect;

    /// <summary>SIGCONT.</summary>
    internal sealed record Continue(int Generation) : Effect;

    /// <summary>Wait until no request runs.</summary>
    internal sealed record AwaitDrained(int Generation, int Epoch) : Effect;

    /// <summary>Drop the requests that still run.</summary>
    internal sealed record DropTraffic(int Generation) : Effect;

    /// <summary>SIGTERM, and SIGCONT so that a stopped process hears it.</summary>
    internal sealed record Terminate(int Generation) : Effect;

    /// <summary>SIGKILL to the group.</summary>
    internal sealed record Kill(int Generation) : Effect;

    /// <summary>Report <see cref="SupervisorEvent.TimerFired"/> after the delay.</summary>
    internal sealed record SetTimer(int Generation, int Epoch, TimeSpan Delay) : Effect;

    /// <summary>Look whether program, model or other files of the command have changed since the last launch.</summary>
    internal sealed record CheckFiles(int Generation, int Epoch) : Effect;

    /// <summary>The generation is over: give back its permit and address, end its probes.</summary>
    internal sealed record Retire(int Generation) : Effect;
}
