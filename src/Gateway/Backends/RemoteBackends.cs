using LlmGateway.Gateway.Models;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Backends;

/// <summary>Servers that somebody else runs: their readiness probe alone says whether they take work.</summary>
internal sealed class RemoteBackends(Model model, BackendRegistry registry, TimeProvider time, ILoggerFactory loggers) : IBackendSource, IAsyncDisposable
{
    private readonly List<ProbeLoop> _loops = [];

    public void Start()
    {
        var logger = loggers.CreateLogger<RemoteBackends>();
        for (var i = 0; i < model.Options.Remotes.Count; i++)
        {
            var remote = model.Options.Remotes[i];
            var key = remote.KeyFile is { } file ? File.ReadAllText(file).Trim() : null;
            var backend = new Backend($"{model.Name}/{i}", model.Name, 0, BackendAddress.Remote(new Uri(remote.Url)), key, hasSlotsEndpoint: true);
            var options = model.Readiness(ProbeKind.Http);
            Report(backend, remote.Slots, ProbeHealth.Unknown, "its readiness probe has not passed yet");
            _loops.Add(ProbeLoop.Start(
                Probe.Create(options, backend.Address, backend.ApiKey, time),
                options,
                report =>
                {
                    if (report.Changed)
                    {
                        var isReady = report.Verdict.Health == ProbeHealth.Healthy;
                        Log.RemoteChanged(logger, backend.Name, isReady ? "ready" : "not ready", report.Result.ToString());
                        Report(backend, remote.Slots, report.Verdict.Health, isReady ? null : $"its readiness probe fails: {report.Result}");
                    }
                },
                time,
                Random.Shared.NextDouble,
                logger,
                CancellationToken.None));
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken) => await DisposeAsync();

    public async ValueTask DisposeAsync()
    {
        foreach (var loop in _loops)
        {
            await loop.DisposeAsync();
        }

        _loops.Clear();
    }

    private void Report(Backend backend, int slots, ProbeHealth health, string? because) => registry.Report(
        model.Name,
        new BackendEntry(backend.Name, health == ProbeHealth.Healthy ? BackendCondition.Ready : BackendCondition.Coming, backend, slots, null, because));
}
