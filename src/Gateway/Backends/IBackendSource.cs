namespace LlmGateway.Gateway.Backends;

/// <summary>Where a model's backends come from: it reports them to the registry for as long as it runs.</summary>
internal interface IBackendSource
{
    /// <summary>Begins to report; returns at once.</summary>
    void Start();

    /// <summary>Ends what it started; completes when nothing of it is left.</summary>
    Task StopAsync(CancellationToken cancellationToken);
}
