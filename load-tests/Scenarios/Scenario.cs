using System.Collections.Immutable;

namespace LlmGateway.LoadTests.Scenarios;

/// <summary>A load, as data: who comes when, what they ask, how long they wait. Any runner can run it.</summary>
/// <param name="Name">The word on the command line.</param>
/// <param name="Description">What it shows, in one line.</param>
/// <param name="Stages">One after the other.</param>
/// <param name="Mix">What is asked.</param>
internal sealed record Scenario(string Name, string Description, ImmutableArray<Stage> Stages, RequestMix Mix)
{
    /// <summary>Requests per second that a load of 1 means: what the server under test can just serve.</summary>
    public double Rate { get; init; } = 40;

    /// <summary>Longest time that a client waits, from the intended start to the last byte.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Chooses every random thing; the same seed gives the same load.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>How long a simulated server, started for this scenario, should take for a request. With 8 slots, 200 ms is 40 requests per second.</summary>
    public TimeSpan ServiceTime { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>What must hold, unless the command line says otherwise about the same quantity: <c>max-error-rate</c> to <c>0</c>.</summary>
    public ImmutableArray<(string Name, string Limit)> Thresholds { get; init; } = [];

    /// <summary>What is done to the server meanwhile, in order of time; only to one that the run has started itself.</summary>
    public ImmutableArray<Disturbance> Disturbances { get; init; } = [];

    public TimeSpan Duration => Stages.Aggregate(TimeSpan.Zero, static (sum, stage) => sum + stage.Duration);

    /// <summary>The same load in another time, each stage keeping its share.</summary>
    public Scenario Lasting(TimeSpan duration)
    {
        var factor = duration / Duration;
        return this with
        {
            Stages = [.. Stages.Select(stage => stage with { Duration = stage.Duration * factor })],
            Disturbances = [.. Disturbances.Select(one => one with { At = one.At * factor })],
        };
    }

    /// <summary>The same load with another number of workers; open stages have none.</summary>
    public Scenario WithWorkers(int workers) =>
        this with { Stages = [.. Stages.Select(stage => stage is ClosedStage closed ? closed with { Workers = workers } : stage)] };

    /// <summary>The same load with arrivals of one kind; closed stages have none.</summary>
    public Scenario WithArrivals(ArrivalPattern pattern) =>
        this with { Stages = [.. Stages.Select(stage => stage is OpenStage open ? open with { Pattern = pattern } : stage)] };
}

/// <summary>A stretch of time with one way of arriving.</summary>
/// <param name="Name">One word, for tables and thresholds.</param>
/// <param name="Duration">How long requests start.</param>
internal abstract record Stage(string Name, TimeSpan Duration);

/// <summary>Requests come at a rate, whatever becomes of the earlier ones: as from many people who don't know each other.</summary>
/// <param name="Name">One word, for tables and thresholds.</param>
/// <param name="Duration">How long requests start.</param>
/// <param name="FromLoad">Load at the beginning, as a multiple of <see cref="Scenario.Rate"/>.</param>
/// <param name="ToLoad">Load at the end; in between it changes evenly.</param>
/// <param name="Pattern">Spacing.</param>
internal sealed record OpenStage(string Name, TimeSpan Duration, double FromLoad, double ToLoad, ArrivalPattern Pattern = ArrivalPattern.Poisson)
    : Stage(Name, Duration)
{
    public OpenStage(string name, TimeSpan duration, double load)
        : this(name, duration, load, load)
    {
    }
}

/// <summary>A number of workers, each of which asks again when it has its answer: as from a batch job.</summary>
/// <param name="Name">One word, for tables and thresholds.</param>
/// <param name="Duration">How long requests start.</param>
/// <param name="Workers">Requests at once.</param>
internal sealed record ClosedStage(string Name, TimeSpan Duration, int Workers) : Stage(Name, Duration);

/// <summary>How arrivals at a rate are spaced.</summary>
internal enum ArrivalPattern
{
    /// <summary>Evenly.</summary>
    Fixed,

    /// <summary>Independently of each other, with the clumps that this brings.</summary>
    Poisson,
}

/// <summary>What is asked.</summary>
internal sealed record RequestMix
{
    /// <summary>Length of what the user says, in words of about one token.</summary>
    public Distribution PromptTokens { get; init; } = Distribution.Fixed(16);

    /// <summary>Asked length of the answer.</summary>
    public Distribution MaxTokens { get; init; } = Distribution.Fixed(16);

    /// <summary>Share of requests that are streamed, 0 to 1.</summary>
    public double StreamShare { get; init; } = 1;

    /// <summary>API keys and how often each is used; empty sends none.</summary>
    public ImmutableArray<KeyShare> Keys { get; init; } = [];

    /// <summary>Turns of a conversation: each sends the whole history. An arrival is the first turn.</summary>
    public Distribution Turns { get; init; } = Distribution.Fixed(1);

    /// <summary>From an answer's end to the same client's next request, in seconds.</summary>
    public Distribution ThinkSeconds { get; init; } = Distribution.Fixed(0);

    /// <summary>Length of a system prompt that all conversations share.</summary>
    public int SharedPrefixTokens { get; init; }

    /// <summary>Share of clients that leave, 0 to 1, and when they do.</summary>
    public double LeaverShare { get; init; }

    /// <summary>When leavers leave, from the intended start.</summary>
    public TimeSpan LeaveAfter { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Share of clients that read slowly, 0 to 1.</summary>
    public double SlowReaderShare { get; init; }

    /// <summary>How fast slow readers read.</summary>
    public int SlowReaderBytesPerSecond { get; init; } = 16 * 1024;
}

/// <summary>An API key and its weight among the others.</summary>
/// <param name="Key">The secret; never shown.</param>
/// <param name="Weight">How often it is used, against the others.</param>
/// <param name="Name">What reports call it; null numbers it.</param>
internal readonly record struct KeyShare(string Key, double Weight = 1, string? Name = null);

/// <summary>Something that befalls the server under load.</summary>
/// <param name="At">From the beginning of the run.</param>
/// <param name="Kind">What.</param>
internal sealed record Disturbance(TimeSpan At, DisturbanceKind Kind);

/// <summary>What can befall a server.</summary>
internal enum DisturbanceKind
{
    /// <summary>One process behind the gateway is killed (SIGKILL), the busiest first.</summary>
    KillReplica,

    /// <summary>Every process behind the gateway is restarted, one after the other, by the gateway's own command.</summary>
    RollingRestart,
}
