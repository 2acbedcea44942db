using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Operations.History;

/// <summary>Looks once a second at what nobody tells: how long states last, and how much of a core the gateway itself uses. Readers take the last look.</summary>
internal sealed class BackgroundLook(LiveCatalogue catalogue, BackendRegistry registry, HealthHistory health, TrafficHistory traffic, TimeProvider time) : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private const int TidyEvery = 60;

    private readonly CancellationTokenSource _over = new();
    private Task _loop = Task.CompletedTask;
    private double _cpuPercent;

    /// <summary>The gateway's own processor time in the last second; 100 is one core.</summary>
    public double CpuPercent => Volatile.Read(ref _cpuPercent);

    /// <summary>Begins to look; returns at once.</summary>
    public void Start()
    {
        health.Start();
        _loop = Task.Run(RunAsync);
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _loop;
        _over.Dispose();
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Period, time);
        var (cpu, at) = (Environment.CpuUsage.TotalTime, time.GetTimestamp());
        try
        {
            for (var looks = 0; await timer.WaitForNextTickAsync(_over.Token); looks++)
            {
                Look(tidy: looks % TidyEvery == 0);
                var (nowCpu, now) = (Environment.CpuUsage.TotalTime, time.GetTimestamp());
                Volatile.Write(ref _cpuPercent, Math.Round((nowCpu - cpu) / time.GetElapsedTime(at, now) * 100, 1));
                (cpu, at) = (nowCpu, now);
            }
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }

    private void Look(bool tidy)
    {
        traffic.Look();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var model in catalogue.Current.Models)
        {
            var snapshot = registry.Snapshot(model.Name);
            health.Add(snapshot);
            if (tidy)
            {
                names.Add(model.Name);
                names.UnionWith(snapshot.Entries.Select(entry => entry.Name));
            }
        }

        if (tidy)
        {
            health.Keep(names);
            traffic.Keep(names);
        }
    }
}
