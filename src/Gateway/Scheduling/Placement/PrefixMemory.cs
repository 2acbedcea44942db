using System.Collections.Immutable;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Scheduling.Placement;

/// <summary>Which beginnings of prompts a server has read lately and probably still holds. Bounded; guarded by the queue's lock.</summary>
internal sealed class PrefixMemory
{
    /// <summary>Links that are remembered; past that the older half is forgotten.</summary>
    public const int Most = 1024;

    private readonly Dictionary<ulong, long> _links = [];
    private long _clock;

    public bool IsEmpty => _links.Count == 0;

    public void Remember(ImmutableArray<PrefixLink> chain, ulong session)
    {
        if (session != 0)
        {
            _links[session] = ++_clock;
        }

        foreach (var link in chain)
        {
            _links[link.Hash] = ++_clock;
        }

        if (_links.Count > Most)
        {
            var median = _links.Values.Order().ElementAt(_links.Count / 2);
            foreach (var old in _links.Where(pair => pair.Value < median).Select(pair => pair.Key).ToArray())
            {
                _links.Remove(old);
            }
        }
    }

    /// <summary>Bytes of a prompt's beginning that the server has read.</summary>
    /// <param name="chain">The prompt.</param>
    /// <param name="least">Less than so many are not worth looking for.</param>
    public int Match(ImmutableArray<PrefixLink> chain, int least)
    {
        for (var i = chain.Length - 1; i >= 0 && chain[i].Bytes >= least; i--)
        {
            if (_links.ContainsKey(chain[i].Hash))
            {
                return chain[i].Bytes;
            }
        }

        return 0;
    }

    public bool Knows(ulong session) => session != 0 && _links.ContainsKey(session);
}
