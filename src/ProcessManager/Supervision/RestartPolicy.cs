using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What the restart policy remembers of one replica.</summary>
/// <param name="Failures">Failures in a row; decides the backoff.</param>
/// <param name="Restarts">When the counted restarts happened, on the monotonic clock, oldest first; one entry per unit of cost.</param>
/// <param name="Exhausted">The budget was spent, and the replica has not been stable since.</param>
/// <param name="PortConflicts">Free retries for a taken address, in a row.</param>
/// <param name="ModelRetries">Retries with a model that could not be loaded, in a row.</param>
internal sealed record RestartHistory(int Failures, ImmutableArray<TimeSpan> Restarts, bool Exhausted, int PortConflicts, int ModelRetries = 0)
{
    public static RestartHistory Empty { get; } = new(0, [], false, 0);

    public int CountIn(TimeSpan window, TimeSpan now) => Restarts.Count(at => at > now - window);
}

/// <summary>An end that nobody asked for.</summary>
/// <param name="Cause">Why.</param>
/// <param name="ReadyFor">How long it had been ready without a break.</param>
/// <param name="WasLaunched">A process told the cause; else we saw it before the launch.</param>
/// <param name="IsOurs">The gateway itself could not launch anything.</param>
internal readonly record struct Ending(ExitCause Cause, TimeSpan ReadyFor = default, bool WasLaunched = true, bool IsOurs = false);

/// <summary>What the policy says.</summary>
internal enum RestartAction
{
    /// <summary>Start again after the delay.</summary>
    Restart,

    /// <summary>The budget is spent: try again after the long delay.</summary>
    SlowRetry,

    /// <summary>Down until a person acts: the budget is spent.</summary>
    Hold,

    /// <summary>Down until a person acts or what it is started from changes: the cause is permanent.</summary>
    Await,

    /// <summary>Down, and rightly so.</summary>
    StayDown,
}

/// <summary>A decision of <see cref="RestartPolicy"/>.</summary>
/// <param name="Action">What to do.</param>
/// <param name="Delay">After how long.</param>
/// <param name="Cost">Units of budget that the restart takes when it happens.</param>
/// <param name="History">What to remember.</param>
internal readonly record struct RestartDecision(RestartAction Action, TimeSpan Delay, int Cost, RestartHistory History);

/// <summary>When an ended process is started again. Pure.</summary>
/// <remarks>
/// The budget is a true sliding window: in any span of <c>Window</c> at most <c>MaxRestarts</c> counted restarts happen. For that a
/// restart is entered when it happens (<see cref="Started"/>), and a decision counts the window that will end then. Once spent, the
/// budget stays spent until the replica has been ready for a whole window or a person resets it: a slow retry that fails is followed by a
/// slow retry.
/// <code>
/// cause                                        | next start                                      | cost
/// any, for the gateway's own trouble           | after the backoff, for as long as it lasts      | 0
/// permanent_config, wrong_build                | when its files or its configuration change      | 0
/// model_invalid, seen before the launch        | same                                            | 0
/// model_invalid, said by the process           | once more after the backoff, then as above      | 1
/// port_conflict                                | at once on another port, three times in a row   | 0, then 1
/// oom                                          | after the backoff, 10 s at least                | 2
/// vram                                         | after the backoff, 5 s at least                 | 1
/// any other, the first one after 60 s of ready | at once                                         | 1
/// any other                                    | after the backoff                               | 1
/// </code>
/// </remarks>
internal static class RestartPolicy
{
    /// <summary>Between tries once the budget is spent.</summary>
    public static readonly TimeSpan SlowRetryDelay = TimeSpan.FromMinutes(5);

    /// <summary>Memory that the kernel has just taken back by force is not free again at once.</summary>
    public static readonly TimeSpan MinOomDelay = TimeSpan.FromSeconds(10);

    /// <summary>A driver takes a moment to free what a dead process held on the GPU.</summary>
    public static readonly TimeSpan MinVramDelay = TimeSpan.FromSeconds(5);

    /// <summary>A server that was well for this long is started again at once when it fails.</summary>
    public static readonly TimeSpan LongHealth = TimeSpan.FromSeconds(60);

    /// <summary>Free changes of address in a row; a further one is a failure like any other.</summary>
    public const int MaxPortConflicts = 3;

    /// <summary>A file may be read while it is still being written: that deserves a second look.</summary>
    public const int MaxModelRetries = 1;

    public static RestartDecision Decide(RestartOptions options, RestartHistory history, in Ending end, TimeSpan now, double random)
    {
        var cause = end.Cause;
        var isSecondLook = cause is ExitCause.ModelInvalid && end.WasLaunched && history.ModelRetries < MaxModelRetries;
        if (end.IsOurs && options.Policy is not RestartPolicyKind.Never)
        {
            var tries = history.Failures + 1;
            return new(RestartAction.Restart, Backoff(options, tries, random), 0, history with { Failures = tries });
        }

        if (IsPermanent(cause) && !isSecondLook)
        {
            return new(options.Policy is RestartPolicyKind.Never ? RestartAction.Hold : RestartAction.Await, TimeSpan.Zero, 0, history);
        }

        var endedWell = cause is ExitCause.UnexpectedExit;
        switch (options.Policy)
        {
            case RestartPolicyKind.OnFailure when endedWell:
            case RestartPolicyKind.Never when endedWell:
                return new(RestartAction.StayDown, TimeSpan.Zero, 0, history);
            case RestartPolicyKind.Never:
                return new(RestartAction.Hold, TimeSpan.Zero, 0, history);
        }

        if (cause is ExitCause.PortConflict && history.PortConflicts < MaxPortConflicts)
        {
            return new(RestartAction.Restart, TimeSpan.Zero, 0, history with { PortConflicts = history.PortConflicts + 1 });
        }

        var cost = cause is ExitCause.Oom ? 2 : 1;
        var failures = history.Failures + 1;
        var delay = Delay(options, failures, end, random);
        var next = history with
        {
            Failures = failures,
            Restarts = Prune(history.Restarts, options.Window, now),
            Exhausted = history.Exhausted && end.ReadyFor < options.Window,
            ModelRetries = history.ModelRetries + (isSecondLook ? 1 : 0),
        };
        if (!next.Exhausted && next.CountIn(options.Window, now + delay) + cost <= options.MaxRestarts)
        {
            return new(RestartAction.Restart, delay, cost, next);
        }

        next = next with { Exhausted = true };
        return options.OnExhausted is RestartExhausted.SlowRetry
            ? new(RestartAction.SlowRetry, SlowRetryDelay, cost, next)
            : new(RestartAction.Hold, TimeSpan.Zero, cost, next);
    }

    /// <summary>The restart that was decided happens now.</summary>
    public static RestartHistory Started(RestartOptions options, RestartHistory history, int cost, TimeSpan now) =>
        cost == 0 ? history : history with { Restarts = Prune(history.Restarts, options.Window, now).AddRange(Enumerable.Repeat(now, cost)) };

    private static TimeSpan Delay(RestartOptions options, int failures, in Ending end, double random)
    {
        var backoff = Backoff(options, failures, random);
        return end.Cause switch
        {
            ExitCause.Oom => backoff > MinOomDelay ? backoff : MinOomDelay,
            ExitCause.Vram => backoff > MinVramDelay ? backoff : MinVramDelay,
            _ when failures == 1 && end.ReadyFor >= LongHealth => TimeSpan.Zero,
            _ => backoff,
        };
    }

    /// <summary>min(MaxBackoff, InitialBackoff · 2^(failures − 1)) ± 25 %.</summary>
    public static TimeSpan Backoff(RestartOptions options, int failures, double random)
    {
        // 2^40 of the shortest first delay is past any bound; the shift must not overflow.
        var factor = Math.Pow(2, Math.Min(failures - 1, 40));
        var seconds = Math.Min(options.MaxBackoff.TotalSeconds, options.InitialBackoff.TotalSeconds * factor);
        return TimeSpan.FromSeconds(seconds * (0.75 + (0.5 * random)));
    }

    /// <summary>A new start would end the same way.</summary>
    public static bool IsPermanent(ExitCause cause) => cause is ExitCause.ModelInvalid or ExitCause.WrongBuild or ExitCause.PermanentConfig;

    private static ImmutableArray<TimeSpan> Prune(ImmutableArray<TimeSpan> restarts, TimeSpan window, TimeSpan now) =>
        restarts.RemoveAll(at => at <= now - window);
}
