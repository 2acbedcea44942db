using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using System.Threading.Channels;
using LlmGateway.Probes.LlamaServer;

namespace LlmGateway.Gateway.Backends;

/// <summary>What each llama-server counts of itself, under one set of names with the label <c>backend</c>.</summary>
/// <remarks>
/// A scrape gets what is known and has it read anew for the next one, never more often than every <see cref="Pause"/>: a llama-server that is asked
/// more often than every 3 s misses clients that leave. Where nobody scrapes, no server is asked. Series leave with their backend; those of a server
/// that does not answer are absent.
/// </remarks>
internal sealed class LlamaServerMetrics : IAsyncDisposable
{
    /// <summary>Servers that are asked at a time.</summary>
    private const int MostAtOnce = 8;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    private static readonly ImmutableArray<(string Name, bool IsCounter, string Description)> Samples =
    [
        ("prompt_tokens_total", true, "Prompt tokens that the server evaluated."),
        ("prompt_tokens_cached_total", true, "Prompt tokens that it took from its cache."),
        ("prompt_seconds_total", true, "Time that it spent on prompts."),
        ("tokens_predicted_total", true, "Tokens that it generated."),
        ("tokens_predicted_seconds_total", true, "Time that it spent on generating."),
        ("n_decode_total", true, "Calls of llama_decode."),
        ("spec_decode_num_drafts_total", true, "Drafts of speculative decoding."),
        ("spec_decode_num_draft_tokens_total", true, "Tokens that were drafted."),
        ("spec_decode_num_accepted_tokens_total", true, "Drafted tokens that were accepted."),
        ("n_tokens_max", false, "Largest context that it has seen, in tokens."),
        ("prompt_tokens_seconds", false, "Its mean prompt speed, tokens per second."),
        ("predicted_tokens_seconds", false, "Its mean generation speed, tokens per second."),
        ("requests_processing", false, "Requests that have a slot in the server."),
        ("requests_deferred", false, "Requests that wait inside the server: behind this gateway 0."),
        ("n_busy_slots_per_decode", false, "Mean of busy slots per decode."),
    ];

    private static readonly ImmutableArray<string> Names = [.. Samples.Select(sample => sample.Name)];

    private readonly BackendRegistry _registry;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LlamaServerClients _clients = new();
    private readonly ConcurrentDictionary<Backend, ImmutableArray<double?>> _known = [];
    private readonly Channel<bool> _asked = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _reading;

    public LlamaServerMetrics(IMeterFactory meters, BackendRegistry registry, TimeProvider time, ILogger<LlamaServerMetrics> logger)
    {
        (_registry, _time, _logger) = (registry, time, logger);
        var meter = meters.Create(BackendMetrics.MeterName);
        for (var i = 0; i < Samples.Length; i++)
        {
            var (index, sample) = (i, Samples[i]);
            const string Total = "_total";
            if (sample.IsCounter)
            {
                meter.CreateObservableCounter($"llmgateway_llamacpp_{sample.Name[..^Total.Length]}", () => Observe(index), description: sample.Description);
            }
            else
            {
                meter.CreateObservableGauge($"llmgateway_llamacpp_{sample.Name}", () => Observe(index), description: sample.Description);
            }
        }

        _reading = Task.Run(ReadAsync);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _reading;
        _stop.Dispose();
    }

    private IEnumerable<Measurement<double>> Observe(int index)
    {
        _asked.Writer.TryWrite(true);
        return from backend in Ready()
               let value = _known.GetValueOrDefault(backend)
               where !value.IsDefault && value[index] is not null
               select new Measurement<double>(value[index]!.Value, new KeyValuePair<string, object?>("backend", backend.Name));
    }

    private IEnumerable<Backend> Ready() =>
        from snapshot in _registry.Snapshots
        from entry in snapshot.Entries
        where entry is { Condition: BackendCondition.Ready, Backend.HasSlotsEndpoint: true }
        select entry.Backend;

    private async Task ReadAsync()
    {
        try
        {
            while (await _asked.Reader.WaitToReadAsync(_stop.Token))
            {
                _asked.Reader.TryRead(out _);
                try
                {
                    var ready = Ready().ToHashSet();
                    foreach (var gone in _known.Keys.Where(backend => !ready.Contains(backend)))
                    {
                        _known.TryRemove(gone, out _);
                    }

                    await Parallel.ForEachAsync(
                        ready, new ParallelOptions { MaxDegreeOfParallelism = MostAtOnce, CancellationToken = _stop.Token }, async (backend, cancellationToken) => await ReadAsync(backend, cancellationToken));
                }
                catch (Exception e) when (e is not OperationCanceledException && e is not OutOfMemoryException)
                {
                    Log.ServerMetricsFailed(_logger, e);
                }

                await Task.Delay(Pause, _time, _stop.Token);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Asked to.
        }
    }

    private async Task ReadAsync(Backend backend, CancellationToken cancellationToken)
    {
        try
        {
            _known[backend] = await _clients.Of(backend).GetSamplesAsync(Names, cancellationToken);
        }
        catch (Exception e) when (e is HttpRequestException or LlamaServerException or ObjectDisposedException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            // It does not answer, has no /metrics, or has just left: its probes say more of it than this could.
            _known.TryRemove(backend, out _);
        }
    }
}
