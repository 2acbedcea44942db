using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Backends;

/// <summary>One server that serves one model, for as long as it lives: a restarted process is another backend.</summary>
[SuppressMessage("Design", "CA1001", Justification = "A source without timer or linked token holds nothing; readers may outlive any owner.")]
internal sealed class Backend(string name, string model, int generation, BackendAddress address, string? apiKey, bool hasSlotsEndpoint)
{
    private readonly CancellationTokenSource _gone = new();
    private readonly ConcurrentDictionary<string, BackendTarget> _targets = new(StringComparer.Ordinal);

    /// <summary><c>model/index</c>.</summary>
    public string Name { get; } = name;

    public string Model { get; } = model;

    /// <summary>Which launch of the replica it is; 0 for a remote.</summary>
    public int Generation { get; } = generation;

    public BackendAddress Address { get; } = address;

    /// <summary>The key that it asks for. Never logged, never shown.</summary>
    public string? ApiKey { get; } = apiKey;

    /// <summary>The same as a header's value; null when it asks for none. Never logged, never shown.</summary>
    public string? Authorization { get; } = apiKey is null ? null : "Bearer " + apiKey;

    /// <summary>True when it tells on <c>/slots</c> what it works on.</summary>
    public bool HasSlotsEndpoint { get; } = hasSlotsEndpoint;

    /// <summary>What its answers have brought: its supervisor tells by it a busy server from a hung one.</summary>
    public BackendTraffic Traffic { get; } = new();

    /// <summary>Cancelled when its process has ended or its connections are to be dropped: what still runs there is over.</summary>
    public CancellationToken Gone => _gone.Token;

    /// <summary>Where one of the endpoints' paths is there.</summary>
    public BackendTarget TargetOf(string path) => _targets.GetOrAdd(path, static (path, address) => new(new Uri(address.BaseUri, path.TrimStart('/'))), Address);

    /// <summary>Ends everything that runs there. Idempotent.</summary>
    /// <remarks>Callbacks run elsewhere: the caller is a supervisor, and a hundred streams may hang on this.</remarks>
    public void MarkGone() => _ = _gone.CancelAsync();

    public override string ToString() => Name;
}

/// <summary>One of a backend's addresses, and its parts, which <see cref="System.Uri"/> puts together anew each time.</summary>
/// <param name="uri">Absolute.</param>
internal sealed class BackendTarget(Uri uri)
{
    public Uri Uri => uri;

    /// <summary>Path and query.</summary>
    public string Path { get; } = uri.PathAndQuery;

    /// <summary>Host, and port where it is not the scheme's own.</summary>
    public string Authority { get; } = uri.Authority;
}
