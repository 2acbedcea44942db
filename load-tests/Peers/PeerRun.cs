using System.Globalization;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Running;

namespace LlmGateway.LoadTests.Peers;

/// <summary>Measures peers in turns: each repeat has all of them, one after the other, so that a slow minute of the machine falls on all.</summary>
/// <param name="peers">Who is measured.</param>
/// <param name="cases">By what load.</param>
/// <param name="repeats">How often.</param>
/// <param name="warmUp">Load before the measured one, for peers whose code is compiled as they run.</param>
/// <param name="log">Takes a line for each result.</param>
internal sealed class PeerRun(IReadOnlyList<Peer> peers, IReadOnlyList<PeerCase> cases, int repeats, TimeSpan warmUp, Action<string> log)
{
    // The same for the others: connections are open.
    private static readonly TimeSpan ShortWarmUp = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan MemoryInterval = TimeSpan.FromMilliseconds(250);

    public async Task<IReadOnlyList<PeerResult>> RunAsync(CancellationToken cancellationToken)
    {
        var results = new List<PeerResult>();
        for (var repeat = 0; repeat < repeats; repeat++)
        {
            foreach (var one in cases)
            {
                for (var i = 0; i < peers.Count; i++)
                {
                    // Whoever is first in one repeat is second in the next.
                    var peer = peers[(i + repeat) % peers.Count];
                    if (peer is DirectPeer && !one.IsForDirect)
                    {
                        continue;
                    }

                    var result = await MeasureAsync(peer, one, repeat, cancellationToken).ConfigureAwait(false);
                    results.Add(result);
                    log(string.Create(
                        CultureInfo.InvariantCulture,
                        $"{repeat + 1}/{repeats} {one.Name,-12} {peer.Name,-10} {result.CpuMicroseconds ?? double.NaN,8:0.0} us/{one.Unit.ToString().ToLowerInvariant(),-8} {result.Goodput,8:0.0} ok/s  total p50 {result.Tally.Total?.P50 ?? double.NaN:0.00} p99 {result.Tally.Total?.P99 ?? double.NaN:0.00} ms  {result.Errors} errors"));
                }
            }
        }

        return results;
    }

    private async Task<PeerResult> MeasureAsync(Peer peer, PeerCase one, int repeat, CancellationToken cancellationToken)
    {
        var folder = Directory.CreateTempSubdirectory("llmgateway-peer-").FullName;
        var backends = new List<ServerProcess>();
        ServerProcess? proxy = null;
        try
        {
            for (var i = 0; i < one.Backends; i++)
            {
                backends.Add(await StartBackendAsync(one, cancellationToken).ConfigureAwait(false));
            }

            proxy = await peer.StartAsync(new PeerSetup([.. backends.Select(static backend => backend.Url)], one.Slots, one.QueueTimeout), folder, cancellationToken).ConfigureAwait(false);
            using var client = new OpenAiClient(proxy?.Url ?? backends[0].Url, SpawnedGateway.Model, one.Scenario.Mix.Keys, isTextChecked: true, isConnectionNew: proxy is null && one.Scenario.Mix.StreamShare > 0);
            if (one.HasWarmUp)
            {
                await new LoadRunner(one.Scenario.Lasting(peer.IsCompiledAsItRuns ? warmUp : ShortWarmUp) with { Seed = ~one.Scenario.Seed }, client, int.MaxValue).RunAsync(cancellationToken).ConfigureAwait(false);
            }

            return await MeasureAsync(peer, one, repeat, proxy, client, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (proxy is not null)
            {
                await proxy.DisposeAsync().ConfigureAwait(false);
            }

            foreach (var backend in backends)
            {
                await backend.DisposeAsync().ConfigureAwait(false);
            }

            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<PeerResult> MeasureAsync(Peer peer, PeerCase one, int repeat, ServerProcess? proxy, OpenAiClient client, CancellationToken cancellationToken)
    {
        var scenario = one.Scenario with { Seed = one.Scenario.Seed + (ulong)repeat };
        var (pss, cpu) = (proxy?.Pss, proxy?.CpuTime);
        using var done = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var peak = proxy is null || one.Unit != CpuUnit.Token ? Task.FromResult(pss) : WatchMemoryAsync(proxy, done.Token);
        var measurements = await new LoadRunner(scenario, client, int.MaxValue).RunAsync(cancellationToken).ConfigureAwait(false);
        var spent = proxy?.CpuTime - cpu;
        await done.CancelAsync().ConfigureAwait(false);

        var tally = measurements.Whole();
        var stage = scenario.Stages[0];
        var report = StageReport.Create(stage.Name, TimeSpan.Zero, stage.Duration, stage.Duration - Measurements.Settling(stage), null, tally);
        var units = one.Unit == CpuUnit.Token ? tally.Tokens : tally.Outcomes.Sum();
        return new PeerResult(
            peer.Name, one.Name, repeat, spent?.TotalMicroseconds / Math.Max(1, units), report, report.GoodputPerSecond, pss, await peak.ConfigureAwait(false));
    }

    private static async Task<ServerProcess> StartBackendAsync(PeerCase one, CancellationToken cancellationToken)
    {
        var url = ServerProcess.FreeAddress();
        return await ServerProcess.StartAsync(
            url,
            BuiltPrograms.Simulator(),
            [
                "--host", "127.0.0.1", "--port", url.Port.ToString(CultureInfo.InvariantCulture), "--alias", SpawnedGateway.Model, "--log-verbosity", "1",
                "--parallel", one.Slots.ToString(CultureInfo.InvariantCulture), "--ctx-size", (one.Slots * 8192L).ToString(CultureInfo.InvariantCulture), .. one.SimulatorFlags,
            ],
            cancellationToken).ConfigureAwait(false);
    }

    private static async Task<long?> WatchMemoryAsync(ServerProcess proxy, CancellationToken done)
    {
        using var interval = new PeriodicTimer(MemoryInterval);
        var peak = proxy.Pss;
        try
        {
            while (await interval.WaitForNextTickAsync(done).ConfigureAwait(false))
            {
                peak = Math.Max(peak, proxy.Pss);
            }
        }
        catch (OperationCanceledException)
        {
            // The load is over.
        }

        return peak;
    }
}
