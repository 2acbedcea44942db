namespace LlmGateway.Simulator.Engine;

/// <summary>Prompts of evicted conversations, newest last. Not safe for concurrent use: the slot pool's lock guards it.</summary>
/// <param name="capacity">Most tokens kept; 0 keeps nothing.</param>
internal sealed class PromptCache(long capacity)
{
    private readonly List<List<int>> _entries = [];
    private long _tokens;

    /// <summary>Keeps a prompt and lets the oldest ones go.</summary>
    public void Add(List<int> tokens)
    {
        if (tokens.Count == 0 || tokens.Count > capacity)
        {
            return;
        }

        _entries.Add(tokens);
        _tokens += tokens.Count;
        while (_tokens > capacity)
        {
            _tokens -= _entries[0].Count;
            _entries.RemoveAt(0);
        }
    }

    /// <summary>Takes out the entry that shares the longest prefix with the prompt, if that is longer than <paramref name="atLeast"/>.</summary>
    public List<int>? TakeBest(ReadOnlySpan<int> prompt, int atLeast)
    {
        var (best, length) = (-1, atLeast);
        for (var i = 0; i < _entries.Count; i++)
        {
            if (CommonPrefix(_entries[i], prompt) is var common && common > length)
            {
                (best, length) = (i, common);
            }
        }

        if (best < 0)
        {
            return null;
        }

        var entry = _entries[best];
        _entries.RemoveAt(best);
        _tokens -= entry.Count;
        return entry;
    }

    public static int CommonPrefix(List<int> held, ReadOnlySpan<int> prompt) =>
        System.Runtime.InteropServices.CollectionsMarshal.AsSpan(held).CommonPrefixLength(prompt);
}
