namespace LlmGateway.Gateway.Models;

/// <summary>The configuration in force. One owner replaces it as a whole; everybody else reads <see cref="Current"/> once for each decision.</summary>
internal sealed class LiveCatalogue(ModelCatalogue first)
{
    private volatile ModelCatalogue _current = first;

    /// <summary>The models and all options as they are now.</summary>
    public ModelCatalogue Current => _current;

    /// <summary>All options as they are now. What listeners were built from does not change while they live.</summary>
    public GatewayOptions Options => _current.Options;

    /// <summary>For the owner of change only.</summary>
    public void Replace(ModelCatalogue next) => _current = next;
}
