using System.Buffers;
using System.Collections.Immutable;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Extensions.Http.Resilience;
using Polly;

namespace LlmGateway.Probes.LlamaServer;

/// <summary>llama-server's monitoring endpoints. No request of a user goes this way.</summary>
/// <remarks>
/// Every call throws <see cref="HttpRequestException"/> when the server can't be reached, <see cref="LlamaServerException"/> when its
/// answer is of no use, and <see cref="OperationCanceledException"/> at the timeout. Bodies are read up to 1 MiB.
/// Don't poll <c>/slots</c> or <c>/metrics</c> more often than every 3 s: llama-server then misses clients that leave.
/// </remarks>
public sealed class LlamaServerClient : IDisposable
{
    private const int MaxBodyBytes = 1024 * 1024;
    private readonly HttpClient _http;

    /// <summary>A client of one server; each call is one request.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="apiKey">Sent as a bearer token.</param>
    /// <param name="timeout">Longest wait for one call, retries included. <value>Default 2 s.</value></param>
    public LlamaServerClient(BackendAddress address, string? apiKey = null, TimeSpan? timeout = null)
        : this(address, apiKey, timeout ?? TimeSpan.FromSeconds(2), retries: null)
    {
    }

    private LlamaServerClient(BackendAddress address, string? apiKey, TimeSpan timeout, ResiliencePipeline<HttpResponseMessage>? retries)
    {
        ArgumentNullException.ThrowIfNull(address);
        HttpMessageHandler handler = BackendHandler.Create(address, timeout, maxConnections: 2);
        if (retries is not null)
        {
            handler = new ResilienceHandler(retries) { InnerHandler = handler };
        }

        _http = new(handler) { BaseAddress = address.BaseUri, Timeout = timeout, MaxResponseContentBufferSize = MaxBodyBytes };
        if (apiKey is not null)
        {
            _http.DefaultRequestHeaders.Authorization = new("Bearer", apiKey);
        }
    }

    /// <summary>A client that retries what may pass: connection faults, 408, 429 and 5xx, up to <paramref name="timeout"/> in all. Not for probes.</summary>
    public static LlamaServerClient WithRetries(BackendAddress address, string? apiKey, TimeSpan timeout, TimeProvider time)
    {
        var pipeline = new ResiliencePipelineBuilder<HttpResponseMessage> { TimeProvider = time }
            .AddRetry(new HttpRetryStrategyOptions
            {
                MaxRetryAttempts = int.MaxValue, // the client's timeout ends it
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromMilliseconds(100),
                MaxDelay = TimeSpan.FromSeconds(2),
                UseJitter = true,
            })
            .AddTimeout(TimeSpan.FromSeconds(5))
            .Build();
        return new(address, apiKey, timeout, pipeline);
    }

    /// <summary><c>/health</c>: needs no key.</summary>
    public async Task<LlamaServerHealth> GetHealthAsync(CancellationToken cancellationToken)
    {
        using var response = await _http.GetAsync(Relative("health"), cancellationToken);
        return response.StatusCode switch
        {
            HttpStatusCode.OK => LlamaServerHealth.Ok,
            HttpStatusCode.ServiceUnavailable => LlamaServerHealth.Loading,
            _ => throw Unusable("health", response),
        };
    }

    /// <summary><c>/props</c>.</summary>
    public async Task<LlamaServerProps> GetPropsAsync(CancellationToken cancellationToken)
    {
        var props = await GetAsync("props", LlamaServerJson.Default.PropsWire, cancellationToken);
        return new(props.TotalSlots, props.DefaultGenerationSettings?.NCtx, props.ModelAlias, props.BuildInfo);
    }

    /// <summary><c>/slots</c>; a server with <c>--no-slots</c> says 501.</summary>
    public async Task<ImmutableArray<LlamaServerSlot>> GetSlotsAsync(CancellationToken cancellationToken)
    {
        var slots = await GetAsync("slots", LlamaServerJson.Default.SlotWireArray, cancellationToken);
        return [.. slots.Select(slot => slot.ToSlot())];
    }

    /// <summary>How many slots of <c>/slots</c> work; a server with <c>--no-slots</c> says 501.</summary>
    public Task<int> CountBusySlotsAsync(CancellationToken cancellationToken) => GetAsync("slots", static body => BusySlots.Count(body), cancellationToken);

    /// <summary><c>/metrics</c>; a server without <c>--metrics</c> says 501.</summary>
    public async Task<LlamaServerGauges> GetMetricsAsync(CancellationToken cancellationToken)
    {
        var samples = await GetSamplesAsync(["requests_processing", "requests_deferred"], cancellationToken);
        return samples is [{ } processing, { } deferred]
            ? new((int)processing, (int)deferred)
            : throw new LlamaServerException("/metrics lacks requests_processing or requests_deferred", (int)HttpStatusCode.OK);
    }

    /// <summary>The samples of <c>/metrics</c> by these names, which stand there behind <c>llamacpp:</c>; null for one that this build does not have.</summary>
    public async Task<ImmutableArray<double?>> GetSamplesAsync(ImmutableArray<string> names, CancellationToken cancellationToken)
    {
        using var response = await _http.GetAsync(Relative("metrics"), cancellationToken);
        if (response.StatusCode is not HttpStatusCode.OK)
        {
            throw Unusable("metrics", response);
        }

        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        return [.. names.Select(name => MetricsText.Find(text, $"llamacpp:{name}"))];
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static Uri Relative(string path) => new(path, UriKind.Relative);

    private static LlamaServerException Unusable(string path, HttpResponseMessage response) =>
        new($"/{path} answered HTTP status {(int)response.StatusCode}", (int)response.StatusCode);

    private Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class =>
        GetAsync(path, body => JsonSerializer.Deserialize(body, type) ?? throw new JsonException("null"), cancellationToken);

    private async Task<T> GetAsync<T>(string path, Func<ReadOnlySpan<byte>, T> read, CancellationToken cancellationToken)
    {
        using var response = await _http.GetAsync(Relative(path), cancellationToken);
        if (response.StatusCode is not HttpStatusCode.OK)
        {
            throw Unusable(path, response);
        }

        try
        {
            // The body is in memory already, at most MaxBodyBytes of it: too much to read on a thread that other sockets may wait for.
            await Task.Yield();
            using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            var bytes = ArrayPool<byte>.Shared.Rent((int)body.Length);
            try
            {
                body.ReadExactly(bytes, 0, (int)body.Length);
                return read(bytes.AsSpan(0, (int)body.Length));
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(bytes);
            }
        }
        catch (JsonException e)
        {
            throw new LlamaServerException($"/{path} answered JSON of another shape", (int)response.StatusCode, e);
        }
    }
}
