using System.ComponentModel;
using System.Text.Json.Serialization;

namespace LlmGateway.Simulator.Injection;

/// <summary>Pace and faults, all of them, as one immutable value: the flags <c>--sim-…</c>, the body of <c>/sim/faults</c> and this record are the same list.</summary>
/// <remarks>The description of an option is its line in <c>--help</c>. Units are in the names; 0, null and false mean "no such fault".</remarks>
internal sealed record Faults
{
    // Pace.

    [Description("prompt tokens evaluated per second (default: 2000)")]
    public double PromptTps { get; init; } = 2000;

    [Description("tokens generated per second and slot (default: 50)")]
    public double TokenRate { get; init; } = 50;

    [Description("fixed time of every request in a slot, instead of the two rates")]
    public int ServiceMs { get; init; }

    [Description("length of an answer whose request names none, in tokens (default: 64)")]
    public int DefaultTokens { get; init; } = 64;

    // Loading.

    [Description("time to load the model; every request is answered 503 meanwhile")]
    public int LoadMs { get; init; }

    [Description("fraction of the load (0 to 1) at which it stops for ever")]
    public double? LoadStallAt { get; init; }

    // Ending.

    [Description("when to end the process by itself: never, start (before listening), load (half way), now")]
    public ExitMoment ExitAt { get; init; }

    [Description("end the process this long after its start")]
    public int? ExitAfterMs { get; init; }

    [Description("end the process when this many inference requests have been answered")]
    public int? ExitAfterRequests { get; init; }

    [Description("end the process when a request body contains this text")]
    public string? ExitOnMarker { get; init; }

    [Description("exit code of such an end (default: 1)")]
    public int ExitCode { get; init; } = 1;

    [Description("end by this signal instead of an exit code: SEGV, ABRT, KILL, BUS, FPE, ILL, TERM")]
    public string? ExitSignal { get; init; }

    [Description("do not react to SIGTERM and SIGINT")]
    public bool IgnoreSigterm { get; init; }

    [Description("start a child that outlives this process and holds its stdout and stderr")]
    public bool Grandchild { get; init; }

    [Description("start that child in a session of its own")]
    public bool GrandchildSession { get; init; }

    // Hanging.

    [Description("accept connections, answer nothing at all (but /sim)")]
    public bool Wedge { get; init; }

    [Description("the decode loop: running, frozen (no tokens; /health, /slots, /metrics answer), stuck (/slots, /metrics hang too)")]
    public EngineMode Engine { get; init; }

    [Description("what becomes of inference requests: ok, hang, error (500), reset, headers-only, malformed, bad-chunk, short-body, huge-headers")]
    public InferenceMode Inference { get; init; }

    [Description("what becomes of /health: ok, hang, error (500)")]
    public HealthMode Health { get; init; }

    [Description("delay of /health answers")]
    public int HealthDelayMs { get; init; }

    [Description("/health is good and bad in turns of this length")]
    public int HealthFlapMs { get; init; }

    [Description("threads that burn CPU")]
    public int BurnThreads { get; init; }

    // Streams.

    [Description("break streams in place of the token after this many; 0 is after the headers")]
    public int? DropAfterTokens { get; init; }

    [Description("how: reset (RST), close (FIN, no last chunk), end (last chunk, no end of the API), half-close, half-end (the same two after half an event)")]
    public DropMode DropBy { get; init; }

    [Description("use multi-byte text and cut it between the bytes of a character")]
    public bool SplitUtf8 { get; init; }

    [Description("period of SSE comments, sent also between tokens")]
    public int CommentMs { get; init; }

    // Resources and logs.

    [Description("log lines written in bytes per second")]
    public long LogFloodBytes { get; init; }

    [Description("write one set of bad log lines when switched on: NUL, ANSI, invalid UTF-8, 10 MB without a line end")]
    public bool BadLog { get; init; }

    [Description("slots that stay busy for ever, one after each finished request until so many are gone")]
    public int LeakSlots { get; init; }

    [Description("memory taken per second, in MiB")]
    public int MemoryMibPerSecond { get; init; }

    [Description("where that stops, in MiB (default: 1024)")]
    public int MemoryMaxMib { get; init; } = 1024;

    [Description("answer under this model id")]
    public string? Alias { get; init; }
}

/// <summary>A moment at which the process ends by itself.</summary>
[JsonConverter(typeof(KebabEnumConverter<ExitMoment>))]
internal enum ExitMoment { Never, Start, Load, Now }

/// <summary>State of the decode loop.</summary>
[JsonConverter(typeof(KebabEnumConverter<EngineMode>))]
internal enum EngineMode { Running, Frozen, Stuck }

/// <summary>What becomes of an inference request.</summary>
[JsonConverter(typeof(KebabEnumConverter<InferenceMode>))]
internal enum InferenceMode { Ok, Hang, Error, Reset, HeadersOnly, Malformed, BadChunk, ShortBody, HugeHeaders }

/// <summary>What becomes of a health request.</summary>
[JsonConverter(typeof(KebabEnumConverter<HealthMode>))]
internal enum HealthMode { Ok, Hang, Error }

/// <summary>How a stream is broken.</summary>
[JsonConverter(typeof(KebabEnumConverter<DropMode>))]
internal enum DropMode { Reset, Close, End, HalfClose, HalfEnd }
