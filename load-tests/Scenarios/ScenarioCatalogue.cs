using System.Collections.Immutable;

namespace LlmGateway.LoadTests.Scenarios;

/// <summary>The scenarios that come with the tool. A new one is a new entry.</summary>
internal static class ScenarioCatalogue
{
    public static ImmutableArray<Scenario> All { get; } =
    [
        new(
            "smoke",
            "A few seconds with 8 workers, streams and non-streams: everything answered, every stream whole.",
            [new ClosedStage("smoke", Seconds(4), Workers: 8)],
            new RequestMix { StreamShare = 0.5, MaxTokens = Distribution.Uniform(4, 32), PromptTokens = Distribution.Uniform(4, 64) })
        {
            // Correctness and gross collapse only: it runs on busy machines.
            ServiceTime = TimeSpan.FromMilliseconds(50),
            Thresholds = [("max-error-rate", "0"), ("max-refusal-rate", "0"), ("min-goodput", "2")],
        },
        new(
            "steady",
            "A calm load below capacity: what latency is like on a good day.",
            [new OpenStage("steady", Seconds(30), 0.5)],
            new RequestMix { StreamShare = 0.8, PromptTokens = Distribution.LogNormal(64, 0.8) })
        {
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "burst",
            "Calm, with short bursts far above capacity: how deep the queue gets and how soon it is gone.",
            [
                new OpenStage("calm", Seconds(5), 0.5), new OpenStage("burst", Seconds(2), 3), new OpenStage("recovery", Seconds(8), 0.5),
                new OpenStage("burst-2", Seconds(2), 3), new OpenStage("recovery-2", Seconds(8), 0.5),
            ],
            new RequestMix()),
        new(
            "saturation",
            "Up past capacity to four times of it, and back: goodput, who is refused and how fast, and whether it recovers.",
            [
                new OpenStage("half", Seconds(5), 0.5), new OpenStage("ramp-up", Seconds(5), 0.5, 1), new OpenStage("capacity", Seconds(5), 1),
                new OpenStage("overload", Seconds(20), 4), new OpenStage("ramp-down", Seconds(5), 1, 0.5), new OpenStage("recovery", Seconds(10), 0.5),
            ],
            new RequestMix()),
        new(
            "abort",
            "Nine of ten clients leave after 200 ms: whether their slots come free for the tenth.",
            [new OpenStage("abort", Seconds(15), 5)],
            new RequestMix { LeaverShare = 0.9, MaxTokens = Distribution.Fixed(64) })
        {
            // 8 slots of 2 s: 4 a second. Of 20 a second, 2 stay; the others' slots must not be held for 2 s each.
            Rate = 4,
            ServiceTime = Seconds(2),
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "slow-reader",
            "A quarter of the clients read 16 KiB a second: they get every byte, and the others don't wait for them.",
            [new OpenStage("slow-reader", Seconds(15), 0.5)],
            new RequestMix { SlowReaderShare = 0.25, MaxTokens = Distribution.Fixed(256) })
        {
            Patience = Seconds(60),
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "chat",
            "Conversations of several turns with a shared system prompt, thinking in between.",
            [new OpenStage("chat", Seconds(20), 0.1)],
            new RequestMix
            {
                Turns = Distribution.Uniform(2, 6), ThinkSeconds = Distribution.Uniform(0.2, 2), SharedPrefixTokens = 256,
                PromptTokens = Distribution.LogNormal(24, 0.8), MaxTokens = Distribution.LogNormal(32, 0.6),
            })
        {
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "long-chat",
            "Long conversations without anything shared: what it costs to read a history again.",
            [new OpenStage("long-chat", Seconds(60), 1)],
            new RequestMix
            {
                Turns = Distribution.Uniform(4, 10), ThinkSeconds = Distribution.Uniform(0.5, 2), PromptTokens = Distribution.Uniform(150, 300), MaxTokens = Distribution.Uniform(8, 24),
            })
        {
            // Conversations, not turns.
            Rate = 0.5,
            Patience = Seconds(120),
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "mixed",
            "Prompts and answers from a few words to thousands of tokens: whether the short ones wait for the long ones.",
            [new OpenStage("mixed", Seconds(30), 0.7)],
            new RequestMix { StreamShare = 0.8, PromptTokens = Distribution.LogNormal(200, 1.4), MaxTokens = Distribution.LogNormal(24, 1) })
        {
            // 8 slots at 50 tokens a second; half a second for a median answer.
            Rate = 10,
            Patience = Seconds(60),
            ServiceTime = TimeSpan.Zero,
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "hog",
            "Nine keys share the server and one of them asks for ten times its share: whether the others notice.",
            [new OpenStage("alone", Seconds(10), 0.36), new OpenStage("hog", Seconds(20), 1.44)],
            new RequestMix
            {
                Keys = [new KeyShare("sk-load-hog", 10, "hog"), .. Enumerable.Range(1, 8).Select(static i => new KeyShare($"sk-load-{i}", 1, $"light-{i}"))],
            })
        {
            Thresholds = [("max-error-rate", "0")],
        },
        new(
            "crash",
            "A process is killed under load, twice: only its own streams may end early, and they say so.",
            [new OpenStage("before", Seconds(5), 0.7), new OpenStage("crashes", Seconds(15), 0.7), new OpenStage("after", Seconds(5), 0.7)],
            new RequestMix { StreamShare = 0.5 })
        {
            Disturbances = [new(Seconds(6), DisturbanceKind.KillReplica), new(Seconds(13), DisturbanceKind.KillReplica)],
            // At most the streams of four slots, twice.
            Thresholds = [("max-error-rate", "0.02")],
        },
        new(
            "rolling-restart",
            "Every process is restarted under load, one after the other: nobody may notice.",
            [new OpenStage("before", Seconds(5), 0.4), new OpenStage("restarts", Seconds(20), 0.4)],
            new RequestMix { StreamShare = 0.5 })
        {
            Disturbances = [new(Seconds(6), DisturbanceKind.RollingRestart)],
            Thresholds = [("max-error-rate", "0"), ("max-refusal-rate", "0")],
        },
        new(
            "soak",
            "Half an hour of everything below capacity: streams, conversations, leavers, slow readers. Give it a day with --duration.",
            [new OpenStage("soak", TimeSpan.FromMinutes(30), 0.15)],
            new RequestMix
            {
                StreamShare = 0.7, Turns = Distribution.Uniform(1, 3), ThinkSeconds = Distribution.Uniform(0.1, 2), SharedPrefixTokens = 64,
                PromptTokens = Distribution.LogNormal(64, 1), MaxTokens = Distribution.LogNormal(24, 0.8), LeaverShare = 0.05, SlowReaderShare = 0.02,
            })
        {
            Patience = Seconds(60),
            Thresholds = [("max-error-rate", "0")],
        },
    ];

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);
}
