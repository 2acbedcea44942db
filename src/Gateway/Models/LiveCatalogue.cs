using System.Collections.Immutable;

namespace LlmGateway.Gateway.Models;

/// <summary>The configuration in force. One owner replaces it as a whole; everybody else reads <see cref="Current"/> once for each decision.</summary>
internal sealed class LiveCatalogue(ModelCatalogue first)
{
    private volatile ModelCatalogue _current = first;
    private volatile ConfigurationState _state = new(null, null, []);

    /// <summary>The models and all options as they are now.</summary>
    public ModelCatalogue Current => _current;

    /// <summary>All options as they are now. What listeners were built from does not change while they live.</summary>
    public GatewayOptions Options => _current.Options;

    /// <summary>Where it came from, and how the last attempt to replace it ended.</summary>
    public ConfigurationState State => _state;

    /// <summary>For the owner of change only.</summary>
    public void Replace(ModelCatalogue next) => _current = next;

    /// <summary>For the owner of change only.</summary>
    public void Report(ConfigurationState state) => _state = state;
}

/// <summary>What an operator wants to know of the configuration.</summary>
/// <param name="Path">The file, or null when it came from the command line.</param>
/// <param name="LoadedAt">When the one in force was read; null for the one that the gateway started with.</param>
/// <param name="Errors">What is wrong with the file as it was last read, or with what came of it; empty when it is in force as a whole.</param>
internal sealed record ConfigurationState(string? Path, DateTimeOffset? LoadedAt, ImmutableArray<string> Errors);
