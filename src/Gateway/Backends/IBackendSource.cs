using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Backends;

/// <summary>Where a model's backends come from: it reports them to the registry for as long as it runs.</summary>
internal interface IBackendSource : IAsyncDisposable
{
    /// <summary>Begins to report; returns at once. May be called again after <see cref="StopAsync"/>.</summary>
    void Start();

    /// <summary>Brings it to a model's new options while it runs: only what differs is touched, one backend after another.</summary>
    /// <returns>One sentence about the backend that did not come up, or null when all is as wanted.</returns>
    Task<string?> ApplyAsync(Model model, ModelCatalogue catalogue, CancellationToken cancellationToken);

    /// <summary>Ends what it started; completes when nothing of it is left.</summary>
    /// <param name="cancellationToken">Means "hurry": what is left of drain and grace is skipped.</param>
    Task StopAsync(CancellationToken cancellationToken);
}
