using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Requests;

/// <summary>Who asks, as far as the handling of the request cares.</summary>
/// <param name="Name">The key's name, or <c>none</c>.</param>
/// <param name="Ceiling">Highest priority that its requests may have.</param>
/// <param name="Usual">The priority of those that ask for none.</param>
/// <param name="Allows">Which models it may use.</param>
internal sealed record Caller(string Name, Priority Ceiling, Priority Usual, Func<Model, bool> Allows)
{
    /// <summary>The key's share against other keys of the same priority.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>True when it may reach the rest of a backend through <c>/upstream/</c>.</summary>
    public bool IsAdmin { get; init; }

    /// <summary>Anybody, where no keys are configured.</summary>
    public static Caller Anonymous { get; } = new("none", Priority.High, Priority.Normal, _ => true);
}
