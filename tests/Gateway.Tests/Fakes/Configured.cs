using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Fakes;

/// <summary>Models and options as a test needs them.</summary>
internal static class Configured
{
    /// <summary>A model whose servers somebody else runs, each with <paramref name="slots"/> slots.</summary>
    public static Model Model(int slots = 2, int remotes = 1, QueueOptions? queue = null, Func<ModelOptions, ModelOptions>? change = null) =>
        new("m", Remote(slots, remotes, queue, change), new QueueOptions());

    public static ModelOptions Remote(int slots = 2, int remotes = 1, QueueOptions? queue = null, Func<ModelOptions, ModelOptions>? change = null)
    {
        var options = new ModelOptions
        {
            Kind = ModelKind.Remote,
            Remotes = [.. Enumerable.Range(0, remotes).Select(_ => new RemoteOptions { Url = "http://127.0.0.1:9/", Slots = slots })],
            Queue = queue ?? new QueueOptions(),
        };
        return change is null ? options : change(options);
    }

    /// <summary>A whole configuration with one remote model per name.</summary>
    public static GatewayOptions Gateway(params string[] models) => new()
    {
        Models = models.ToDictionary(name => name, _ => Remote()),
    };
}
