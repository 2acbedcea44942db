using System.Collections.Immutable;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.Benchmarks.Simulation;

/// <summary>The world that a policy is tried in: servers, clients and their habits.</summary>
internal sealed record Workload
{
    public int Backends { get; init; } = 4;

    /// <summary>Slots of each.</summary>
    public int Slots { get; init; } = 4;

    /// <summary>Conversations at once; each belongs to one key.</summary>
    public int Sessions { get; init; } = 80;

    public int Keys { get; init; } = 8;

    /// <summary>Share of all requests that the first key sends.</summary>
    public double HogShare { get; init; } = 0.6;

    /// <summary>Conversations whose prefix a server still holds.</summary>
    public int CachedPrefixes { get; init; } = 8;

    /// <summary>Prompt tokens a second, each slot.</summary>
    public double PrefillRate { get; init; } = 1500;

    public TimeSpan TokenTime { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>Longest conversation, in tokens; then it begins anew.</summary>
    public int LongestConversation { get; init; } = 4000;

    /// <summary>When a client gives up waiting for its first token.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>First token later than this is no good.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(10);

    public int Requests { get; init; } = 6000;

    /// <summary>Offered load, as a multiple of what the servers do without any cache hit.</summary>
    public double Load { get; init; } = 1;

    public ulong Seed { get; init; } = 1;

    /// <summary>A server is away between these times, as shares of the run; null: none.</summary>
    public (double From, double To)? Crash { get; init; }

    /// <summary>Requests a second that the servers do when nothing is cached.</summary>
    public double Capacity => Backends * Slots / ((MeanPrompt / PrefillRate) + (MeanAnswer * TokenTime.TotalSeconds));

    // A log-normal's mean is its median times e^(σ²/2); a conversation's prompt is on average half of its longest.
    private const double MedianAnswer = 100;
    private const double AnswerSigma = 0.8;

    private static double MeanAnswer => MedianAnswer * Math.Exp(AnswerSigma * AnswerSigma / 2);

    private double MeanPrompt => LongestConversation / 2.0;

    /// <summary>All requests in order of arrival: a function of the seed alone, so every policy meets the same ones.</summary>
    public ImmutableArray<SimulatedRequest> Arrivals()
    {
        var dice = new Dice(Seed);
        var answer = Distribution.LogNormal(MedianAnswer, AnswerSigma);
        var conversation = new (int Number, int Tokens, ImmutableArray<int> Turns)[Sessions];
        Array.Fill(conversation, (0, 0, []));
        var requests = ImmutableArray.CreateBuilder<SimulatedRequest>(Requests);
        var perKey = Sessions / Keys;
        var at = 0.0;
        for (var i = 0; i < Requests; i++)
        {
            at += dice.NextExponential() / (Load * Capacity);
            var key = dice.NextDouble() < HogShare ? 0 : 1 + dice.NextInt(Keys - 1);
            var session = (key * perKey) + dice.NextInt(perKey);
            ref var turn = ref conversation[session];
            var tokens = Math.Max(1, (int)Math.Round(answer.Sample(ref dice)));
            var added = 100 + dice.NextInt(400);
            if (turn.Tokens + added > LongestConversation)
            {
                turn = (turn.Number + 1, 0, []);
            }

            var before = turn.Tokens;
            turn.Tokens += added;
            turn.Turns = turn.Turns.Add(turn.Tokens);
            requests.Add(new SimulatedRequest(i, TimeSpan.FromSeconds(at), key, (session, turn.Number), before, turn.Tokens, tokens) { Turns = turn.Turns });
            turn.Tokens += tokens;
        }

        return requests.MoveToImmutable();
    }
}

/// <summary>One request of a simulated client.</summary>
/// <param name="Number">In order of arrival.</param>
/// <param name="At">When it comes.</param>
/// <param name="Key">0 is the hog.</param>
/// <param name="Conversation">What it continues.</param>
/// <param name="Shared">Tokens that its last turn had too, answer included.</param>
/// <param name="Prompt">Tokens of the prompt.</param>
/// <param name="Answer">Tokens that it will generate.</param>
internal sealed record SimulatedRequest(int Number, TimeSpan At, int Key, (int Session, int Number) Conversation, int Shared, int Prompt, int Answer)
{
    /// <summary>Tokens of the prompt up to the end of each of its turns, this one's last: what a gateway can know a conversation by.</summary>
    public ImmutableArray<int> Turns { get; init; } = [];
}

/// <summary>What became of a request.</summary>
internal enum SimulatedEnd
{
    Answered,
    Refused,
    GaveUp,
}

/// <summary>A simulated server: which prefixes it holds. Slots are the policy's business.</summary>
internal sealed class PrefixMemory(int most)
{
    private readonly LinkedList<(int, int)> _recent = new();

    /// <summary>Tokens of the prompt that need not be read again; the conversation is now the most recent one.</summary>
    public int Touch(SimulatedRequest request)
    {
        var held = _recent.Remove(request.Conversation);
        _recent.AddFirst(request.Conversation);
        if (_recent.Count > most)
        {
            _recent.RemoveLast();
        }

        return held ? request.Shared : 0;
    }

    public bool Holds(SimulatedRequest request) => _recent.Contains(request.Conversation);

    public void Clear() => _recent.Clear();
}
