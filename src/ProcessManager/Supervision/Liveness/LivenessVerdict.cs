using System.Collections.Immutable;
using System.Globalization;
using LlmGateway.Probes.LlamaServer;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>What is thought of a process that should work.</summary>
internal enum LivenessHealth
{
    /// <summary>It gets on, or has nothing to do.</summary>
    Alive,

    /// <summary>It uses CPU time, but nothing has come of it for long: no new work, no kill yet.</summary>
    Busy,

    /// <summary>Somebody has stopped it (SIGSTOP).</summary>
    Stopped,

    /// <summary>It looks hung, and so do most of its pool: the host is the suspect, nothing is done.</summary>
    Suspect,

    /// <summary>It is to be replaced.</summary>
    Hung,
}

/// <summary>Looks at one process, folded into one judgement: busy is not hung. A value: each look makes the next one. Pure.</summary>
/// <remarks>
/// <code>
/// what is seen                                                       | verdict
/// stopped (/proc state T)                                            | Stopped; after 5 s one SIGCONT; 5 s after that still or again: Hung
/// work in flight: a stream byte or a slot's counter moves            | Alive
/// work in flight: neither for Stall, CPU and GPU flat for as long    | Hung
/// work in flight: neither for Stall, but CPU or GPU                  | Busy
/// … until FirstToken (somebody waits for one), else Silence, is over | Hung
/// no work, /slots unanswered Unanswered times in a row               | Hung, or Busy as above while it uses either
/// no work, more than half of its slots busy for ever                 | Hung
/// </code>
/// An answer proves nothing while work is in flight: a frozen llama-server still answers /health, /slots and /metrics. Work is in flight
/// when the gateway holds a lease and, as far as the server tells, a slot is at work: a client that reads slowly holds a lease, too.
/// Reading weights back from disk counts as CPU. Where nothing is told of GPUs, CPU decides alone.
/// A late look (<see cref="LivenessSample.IsLate"/>) starts all clocks anew.
/// </remarks>
internal sealed record LivenessVerdict
{
    /// <summary>CPU time is judged over spans no shorter than this: the kernel counts in hundredths of a second.</summary>
    private static readonly TimeSpan CpuWindow = TimeSpan.FromSeconds(1);

    /// <summary>Less than this share of one core is idling (answering probes, say).</summary>
    private const double FlatCpu = 0.05;

    /// <summary>Reading its weights back from disk is work as well.</summary>
    private const double FlatReadBytesPerSecond = 1024 * 1024;

    public LivenessHealth Health { get; private init; }

    /// <summary>Why, for a person; null while there is nothing to say.</summary>
    public string? Finding { get; private init; }

    /// <summary>It has used CPU time or made progress just now: what does not answer is busy.</summary>
    public bool IsWorking { get; private init; }

    /// <summary>Send SIGCONT now.</summary>
    public bool IsToContinue => Stop.IsToContinue;

    /// <summary>Slots that are busy for ever with nothing of ours.</summary>
    public int Leaked { get; private init; }

    /// <summary>The process's own CPU time looks flat: look at its whole group from now on, it may be a wrapper.</summary>
    public bool WantsGroup { get; private init; }

    private bool HasBegun { get; init; }

    private TimeSpan ProgressAt { get; init; }

    private CpuNotes Cpu { get; init; }

    private TrafficLook Traffic { get; init; }

    private StopNotes Stop { get; init; }

    /// <summary>What the server last told of its slots; default when it never did.</summary>
    private ImmutableArray<SlotNotes> Slots { get; init; }

    /// <summary>The last question for them was answered.</summary>
    private bool IsTold { get; init; }

    private int Unanswered { get; init; }

    private TimeSpan UnansweredSince { get; init; }

    private int LeakedAtLastLook { get; init; }

    /// <summary>The server owes us something.</summary>
    private bool HasWork => Traffic.InFlight > 0 && (!IsTold || Slots.Any(slot => slot.Last.IsProcessing));

    /// <summary>The verdict after one more look.</summary>
    public LivenessVerdict Add(in LivenessSample sample, LivenessLimits limits)
    {
        if (!HasBegun || sample.IsLate)
        {
            return Begin(sample);
        }

        var next = this with
        {
            Stop = Stop.Add(sample.Process.IsStopped, sample.At),
            Cpu = Cpu.Add(sample.Process, sample.At),
            Traffic = sample.Traffic,
        };
        if (sample.Traffic.Bytes > Traffic.Bytes)
        {
            next = next with { ProgressAt = sample.At };
        }

        if (sample.Slots is { } slots)
        {
            next = next.Note(slots, sample.At, limits);
        }

        return sample.Process.IsStopped ? next.WhileStopped(sample) : next.WhileRunning(sample.At, limits);
    }

    private static LivenessVerdict Begin(in LivenessSample sample)
    {
        var at = sample.At;
        var isTold = sample.Slots is { Answer: SlotsAnswer.Told };
        return new()
        {
            HasBegun = true,
            ProgressAt = at,
            Stop = StopNotes.Begin(sample.Process.IsStopped, at),
            Cpu = CpuNotes.Begin(sample.Process, at),
            Traffic = sample.Traffic,
            Unanswered = sample is { IsLate: false, Slots.Answer: SlotsAnswer.None } ? 1 : 0,
            UnansweredSince = at,
            IsTold = isTold,
            Slots = isTold ? [.. sample.Slots!.Value.Slots.Select(slot => new SlotNotes(slot, at))] : default,
        };
    }

    private LivenessVerdict Note(in SlotsLook look, TimeSpan at, LivenessLimits limits)
    {
        if (look.Answer is SlotsAnswer.NotOffered)
        {
            return this with { Slots = default, IsTold = false, Unanswered = 0 };
        }

        if (look.Answer is SlotsAnswer.None)
        {
            // While work is in flight it counts for nothing: some builds answer only between two prompts.
            var unknown = this with { IsTold = false, Leaked = 0 };
            return unknown.HasWork ? unknown with { Unanswered = 0 }
                : unknown with { Unanswered = Unanswered + 1, UnansweredSince = Unanswered == 0 ? at : UnansweredSince };
        }

        var before = Slots;
        var slots = look.Slots.Select(slot => Follow(before, slot, at)).ToImmutableArray();
        var leaked = LeakedAmong(slots, at, limits.Stall);
        return this with
        {
            Slots = slots,
            IsTold = true,
            Unanswered = 0,
            ProgressAt = before.IsDefault || slots.Any(slot => slot.Since == at) ? at : ProgressAt,
            LeakedAtLastLook = leaked,
            Leaked = Math.Min(leaked, LeakedAtLastLook), // a request that is just ending may look like one for a moment
        };
    }

    private static SlotNotes Follow(ImmutableArray<SlotNotes> before, LlamaServerSlot slot, TimeSpan at)
    {
        var known = before.IsDefault ? null : before.FirstOrDefault(notes => notes.Last.Id == slot.Id);
        return known is not null && known.Last == slot ? known : new(slot, at);
    }

    private int LeakedAmong(ImmutableArray<SlotNotes> slots, TimeSpan at, TimeSpan stall)
    {
        var busy = slots.Count(slot => slot.Last.IsProcessing);
        var still = slots.Count(slot => slot.Last.IsProcessing && at - slot.Since >= stall);
        return Math.Max(0, Math.Min(still, busy - Traffic.InFlight));
    }

    private LivenessVerdict WhileStopped(in LivenessSample sample) => this with
    {
        IsWorking = false,
        Health = Stop.IsHopeless ? LivenessHealth.Hung : LivenessHealth.Stopped,
        Finding = Stop.IsHopeless ? "Its process is stopped, and SIGCONT did not help." : "Its process has been stopped (SIGSTOP).",

        // A process that does not run can't get on: those clocks stand still with it.
        ProgressAt = sample.At,
        Cpu = CpuNotes.Begin(sample.Process, sample.At),
        Unanswered = 0,
    };

    private LivenessVerdict WhileRunning(TimeSpan at, LivenessLimits limits)
    {
        var running = HasWork || Unanswered > 0 ? this : this with { ProgressAt = at }; // it owes nothing
        return running.Judge(at, limits);
    }

    private LivenessVerdict Judge(TimeSpan at, LivenessLimits limits)
    {
        var idle = at - ProgressAt;
        var (health, finding) = this switch
        {
            { HasWork: true } when Cpu.FlatFor(ProgressAt) >= limits.Stall =>
                (LivenessHealth.Hung, $"It has work, but for {Seconds(limits.Stall)} no byte came, no slot's counters moved and its CPU stood still."),
            { HasWork: true } when idle >= BusyLimit(limits) =>
                (LivenessHealth.Hung, $"It uses CPU or a GPU, but nothing has come of it for {Seconds(idle)}."),
            { HasWork: true } when idle >= limits.Stall =>
                (LivenessHealth.Busy, $"It is busy: it uses CPU or a GPU, but nothing has come of it for {Seconds(idle)}."),
            { HasWork: true } => (LivenessHealth.Alive, null),
            _ when Unanswered >= limits.Unanswered => IdleAndSilent(at, limits),
            _ when IsTold && Leaked * 2 > Slots.Length && Traffic.InFlight == 0 =>
                (LivenessHealth.Hung, $"{Leaked} of its {Slots.Length} slots are busy for ever, with nothing of ours."),
            _ => (LivenessHealth.Alive, null),
        };
        return this with
        {
            Health = health,
            Finding = finding,
            IsWorking = Cpu.IsBusy || (HasWork && idle < 2 * CpuWindow),
            WantsGroup = WantsGroup || (HasWork && Cpu.FlatFor(ProgressAt) >= limits.Stall / 2) || Unanswered * 2 >= limits.Unanswered,
        };
    }

    private (LivenessHealth, string?) IdleAndSilent(TimeSpan at, LivenessLimits limits)
    {
        var silent = at - UnansweredSince;
        return Cpu.IsBusy && silent < BusyLimit(limits)
            ? (LivenessHealth.Busy, "It is busy with something that nobody here asked for, and does not answer.")
            : (LivenessHealth.Hung, $"It has nothing to do, but did not answer /slots {Unanswered} times in a row.");
    }

    /// <summary>How long CPU time without a result is believed.</summary>
    private TimeSpan BusyLimit(LivenessLimits limits)
    {
        if (!IsTold && Traffic.Whole > 0)
        {
            return TimeSpan.MaxValue; // an answer that is no stream shows nothing before its end, and the server tells nothing either
        }

        var isFirst = Traffic.AwaitingFirstToken > 0 || (IsTold && Slots.Any(slot => slot.Last is { IsProcessing: true, Decoded: 0 }));
        return isFirst ? Max(limits.FirstToken, limits.Stall) : Max(limits.Silence, limits.Stall);
    }

    private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private static string Seconds(TimeSpan span) => string.Create(CultureInfo.InvariantCulture, $"{span.TotalSeconds:0.#} s");

    /// <summary>One slot as it was last told, and since when it has been told so.</summary>
    private sealed record SlotNotes(LlamaServerSlot Last, TimeSpan Since);

    /// <summary>What is known of the process's use of CPU, disk and GPU.</summary>
    /// <param name="Base">Where the current span began.</param>
    /// <param name="BaseAt">When.</param>
    /// <param name="SeenAt">End of the last whole span.</param>
    /// <param name="BusyAt">End of the last one that was busy.</param>
    /// <param name="IsBusy">The last whole span was.</param>
    private readonly record struct CpuNotes(ProcessLook Base, TimeSpan BaseAt, TimeSpan SeenAt, TimeSpan BusyAt, bool IsBusy)
    {
        public static CpuNotes Begin(ProcessLook look, TimeSpan at) => new(look, at, at, at, false);

        public CpuNotes Add(ProcessLook look, TimeSpan at)
        {
            if (look.CpuTicks is not { } ticks || Base.CpuTicks is not { } before)
            {
                return new(look, at, at, at, true); // what is not known can't be called flat
            }

            if (look.IsWholeGroup != Base.IsWholeGroup)
            {
                return this with { Base = look, BaseAt = at };
            }

            var seconds = (at - BaseAt).TotalSeconds;
            if (at - BaseAt < CpuWindow)
            {
                return this;
            }

            var isBusy = look.IsOnGpu
                || ticks - before >= FlatCpu * seconds * ProcStat.TicksPerSecond
                || look.ReadBytes - Base.ReadBytes >= FlatReadBytesPerSecond * seconds;
            return new(look, at, at, isBusy ? at : BusyAt, isBusy);
        }

        /// <summary>How long it is known to have been flat, counted from <paramref name="since"/> at the earliest.</summary>
        public TimeSpan FlatFor(TimeSpan since) => SeenAt - Max(since, BusyAt);
    }
}
