using System.Collections.Immutable;
using System.Text;

namespace LlmGateway.LoadTests.Scenarios;

/// <summary>One request of a scenario, decided before it is sent.</summary>
/// <param name="Messages">Role and content, the whole history.</param>
/// <param name="MaxTokens">Asked length of the answer.</param>
/// <param name="Stream">Streamed.</param>
/// <param name="Key">Place of its API key among the mix's; null sends none.</param>
/// <param name="LeaveAfter">When the client leaves; null waits for the end.</param>
/// <param name="BytesPerSecond">How fast the client reads; null at once.</param>
/// <param name="Session">Names the conversation; null when it has one turn.</param>
internal sealed record PlannedRequest(
    ImmutableArray<(string Role, string Content)> Messages,
    int MaxTokens,
    bool Stream,
    int? Key,
    TimeSpan? LeaveAfter,
    int? BytesPerSecond,
    string? Session);

/// <summary>A client's visit: one request, or a conversation. A pure function of the scenario and the visit's number.</summary>
internal sealed class Visit
{
    private static readonly string[] Words =
    [
        "the", "a", "one", "two", "big", "old", "new", "red", "blue", "dog", "cat", "bird", "tree", "rock", "lake", "road", "runs", "eats", "sees", "asks",
        "how", "why", "what", "when", "who", "is", "was", "has", "to", "of", "in", "on", "by", "at", "and", "or", "not", "but", "so", "then",
    ];

    private readonly RequestMix _mix;
    private readonly int? _key;
    private readonly string? _session;
    private Dice _dice;
    private ImmutableArray<(string Role, string Content)> _history = [];

    public Visit(Scenario scenario, long number)
    {
        _mix = scenario.Mix;
        _dice = new Dice(scenario.Seed, (ulong)number);
        Turns = Math.Max(1, (int)Math.Round(_mix.Turns.Sample(ref _dice)));
        _key = PickKey();
        _session = Turns > 1 ? $"load-{scenario.Seed}-{number}" : null;
        if (_mix.SharedPrefixTokens > 0)
        {
            var shared = new Dice(scenario.Seed);
            _history = [("system", Text(ref shared, _mix.SharedPrefixTokens))];
        }
    }

    public int Turns { get; }

    /// <summary>The next turn.</summary>
    /// <param name="answer">What was said to the last one.</param>
    public PlannedRequest Next(string? answer = null)
    {
        if (answer is not null)
        {
            _history = _history.Add(("assistant", answer));
        }

        _history = _history.Add(("user", Text(ref _dice, Math.Max(1, (int)Math.Round(_mix.PromptTokens.Sample(ref _dice))))));
        return new PlannedRequest(
            _history,
            Math.Max(1, (int)Math.Round(_mix.MaxTokens.Sample(ref _dice))),
            _dice.NextDouble() < _mix.StreamShare,
            _key,
            _dice.NextDouble() < _mix.LeaverShare ? _mix.LeaveAfter : null,
            _dice.NextDouble() < _mix.SlowReaderShare ? _mix.SlowReaderBytesPerSecond : null,
            _session);
    }

    /// <summary>The pause before the next turn.</summary>
    public TimeSpan Think() => TimeSpan.FromSeconds(_mix.ThinkSeconds.Sample(ref _dice));

    private int? PickKey()
    {
        var point = _dice.NextDouble() * _mix.Keys.Sum(static key => key.Weight);
        for (var i = 0; i < _mix.Keys.Length; i++)
        {
            if ((point -= _mix.Keys[i].Weight) < 0 || i == _mix.Keys.Length - 1)
            {
                return i;
            }
        }

        return null;
    }

    private static string Text(ref Dice dice, int words)
    {
        var text = new StringBuilder(words * 5);
        for (var i = 0; i < words; i++)
        {
            text.Append(i == 0 ? "" : " ").Append(Words[dice.NextInt(Words.Length)]);
        }

        return text.ToString();
    }
}
