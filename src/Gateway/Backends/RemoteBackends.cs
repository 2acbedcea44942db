using LlmGateway.Gateway.Models;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Backends;

/// <summary>Servers that somebody else runs: their readiness probe alone says whether they take work.</summary>
internal sealed class RemoteBackends(Model model, BackendRegistry registry, IReplicaTraffic traffic, ProbeMetrics metrics, TimeProvider time, ILoggerFactory loggers) : IBackendSource
{
    private readonly ILogger _logger = loggers.CreateLogger<RemoteBackends>();
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly List<Seat> _seats = [];
    private Model _model = model;

    public void Start()
    {
        foreach (var remote in _model.Options.Remotes)
        {
            Add(remote, Key(remote));
        }
    }

    public async Task<string?> ApplyAsync(Model model, ModelCatalogue catalogue, CancellationToken cancellationToken)
    {
        await _changing.WaitAsync(cancellationToken);
        try
        {
            var isProbedAlike = _model.Options.Probes == model.Options.Probes;
            _model = model;
            var remotes = model.Options.Remotes;
            for (var i = _seats.Count - 1; i >= remotes.Count; i--)
            {
                await VacateAsync(i, catalogue.Options.Gateway.DrainTimeout, cancellationToken);
                registry.Remove(model.Name, _seats[i].Backend.Name);
                metrics.Remove(_seats[i].Backend.Name);
                _seats.RemoveAt(i);
            }

            for (var i = 0; i < remotes.Count; i++)
            {
                var (remote, key) = (remotes[i], Key(remotes[i]));
                if (i == _seats.Count)
                {
                    Add(remote, key);
                }
                else if (_seats[i].Backend is var backend && backend.ApiKey == key && backend.Address.Equals(BackendAddress.Remote(new Uri(remote.Url))))
                {
                    if (!isProbedAlike || _seats[i].Slots != remote.Slots)
                    {
                        await _seats[i].StopAsync();
                        Watch(_seats[i], remote.Slots);
                    }
                }
                else
                {
                    // What runs on the old server may finish; whoever waits goes elsewhere, or to the new one.
                    await VacateAsync(i, catalogue.Options.Gateway.DrainTimeout, cancellationToken);
                    _seats[i] = new Seat(Create(i, remote, key));
                    Watch(_seats[i], remote.Slots);
                }
            }

            return null;
        }
        finally
        {
            _changing.Release();
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        foreach (var seat in _seats)
        {
            await seat.StopAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(CancellationToken.None);
        _seats.ForEach(seat => metrics.Remove(seat.Backend.Name));
        _seats.Clear();
    }

    /// <summary>What is read anew at each change: a key may have been renewed under the same name.</summary>
    private static string? Key(RemoteOptions remote) => remote.KeyFile is { } file ? File.ReadAllText(file).Trim() : null;

    private Backend Create(int index, RemoteOptions remote, string? key) =>
        new($"{_model.Name}/{index}", _model.Name, 0, BackendAddress.Remote(new Uri(remote.Url)), key, hasSlotsEndpoint: true);

    private void Add(RemoteOptions remote, string? key)
    {
        var seat = new Seat(Create(_seats.Count, remote, key));
        _seats.Add(seat);
        Watch(seat, remote.Slots);
    }

    /// <summary>Asks with whatever probe is configured now. A server that took work goes on taking it.</summary>
    private void Watch(Seat seat, int slots)
    {
        seat.Slots = slots;
        var backend = seat.Backend;
        var options = _model.Readiness(ProbeKind.Http);
        Report(backend, slots, seat.Health, seat.Health == ProbeHealth.Healthy ? null : "its readiness probe has not passed yet");
        seat.Probing = ProbeLoop.Start(
            Probe.Create(options, backend.Address, backend.ApiKey, time),
            options,
            metrics.Counting(backend.Name, "readiness", report =>
            {
                if (report.Changed)
                {
                    seat.Health = report.Verdict.Health;
                    var isReady = seat.Health == ProbeHealth.Healthy;
                    Log.RemoteChanged(_logger, backend.Name, isReady ? "ready" : "not ready", report.Result.ToString());
                    Report(backend, slots, seat.Health, isReady ? null : $"its readiness probe fails: {report.Result}");
                }
            }),
            time,
            Random.Shared.NextDouble,
            _logger,
            CancellationToken.None);
    }

    private async Task VacateAsync(int index, TimeSpan patience, CancellationToken cancellationToken)
    {
        var (seat, backend) = (_seats[index], _seats[index].Backend);
        await seat.StopAsync();
        registry.Report(_model.Name, new BackendEntry(backend.Name, BackendCondition.Coming, backend, 0, null, "it is being replaced"));
        try
        {
            await traffic.DrainedAsync(backend.Name, backend.Generation, cancellationToken).WaitAsync(patience, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            Log.RemoteCutOff(_logger, backend.Name, patience);
        }
    }

    private void Report(Backend backend, int slots, ProbeHealth health, string? because) => registry.Report(
        _model.Name,
        new BackendEntry(backend.Name, health == ProbeHealth.Healthy ? BackendCondition.Ready : BackendCondition.Coming, backend, slots, null, because) { Readiness = health });

    /// <summary>One remote's place in the list.</summary>
    private sealed class Seat(Backend backend)
    {
        public Backend Backend { get; } = backend;

        public int Slots { get; set; }

        public ProbeHealth Health { get; set; } = ProbeHealth.Unknown;

        public ProbeLoop? Probing { get; set; }

        public async Task StopAsync()
        {
            if (Probing is { } probing)
            {
                await probing.DisposeAsync();
            }
        }
    }
}
