using System.Collections.Immutable;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Requests;

/// <summary>One accepted request: what was asked, of which model, by whom, by when.</summary>
internal sealed class InferenceRequest : IDisposable
{
    /// <summary>Shown to the client and in the log.</summary>
    public required string Id { get; init; }

    public required InferenceEndpoint Endpoint { get; init; }

    /// <summary>The path that a backend is asked on: one of the endpoint's, never the client's own spelling.</summary>
    public required string Path { get; init; }

    public required Model Model { get; init; }

    public required RequestBody Body { get; init; }

    /// <summary>True when the answer is a stream of events.</summary>
    public required bool Stream { get; init; }

    /// <summary>Choices asked for: a backend with fewer slots refuses it.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>True when its tokens come one after another: their number tells how long one takes.</summary>
    public bool IsOneAnswer => Choices == 1 && Shape.Ends == 1;

    /// <summary>How its stream of events ends.</summary>
    public required StreamShape Shape { get; init; }

    /// <summary>Slots of one backend that it can use at once.</summary>
    public required int Slots { get; init; }

    public required Priority Priority { get; init; }

    /// <summary>Name of the API key, or <c>none</c>.</summary>
    public required string Key { get; init; }

    /// <summary>False where no keys are configured.</summary>
    public bool HasKey { get; init; }

    /// <summary>The key's share against other keys of the same priority.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>The beginnings of the prompt: by them a server is found that has read one of them.</summary>
    public ImmutableArray<PrefixLink> Prefix { get; init; } = [];

    /// <summary>Hash of the client's session hint; 0 without one.</summary>
    public ulong Session { get; init; }

    /// <summary>Most tokens of one answer, or null.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>Longest time from arrival to the first token that the client grants, or null.</summary>
    public TimeSpan? FirstTokenWithin { get; init; }

    /// <summary>True when the client wants comments while it waits for its stream.</summary>
    public bool KeepAlive { get; init; }

    /// <summary>Timestamp (of the gateway's TimeProvider) of its arrival.</summary>
    public required long ArrivedAt { get; init; }

    /// <summary>Measures what the gateway itself takes of its time.</summary>
    public required OverheadClock Overhead { get; init; }

    /// <summary>Where it stands, for whoever looks from outside; null before it is in the ledger.</summary>
    public RequestProgress? Progress { get; set; }

    public void Dispose() => Body.Dispose();
}
