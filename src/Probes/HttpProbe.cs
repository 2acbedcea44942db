using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;

namespace LlmGateway.Probes;

/// <summary>A GET; status 200 to 399 passes.</summary>
internal sealed class HttpProbe : Probe
{
    /// <summary>What is read of an answer at most.</summary>
    private const int MaxDrainedBytes = 64 * 1024;

    private readonly HttpMessageInvoker _invoker;
    private readonly Uri _uri;
    private readonly IReadOnlyDictionary<string, string> _headers;
    private readonly AuthenticationHeaderValue? _authorization;
    private int _connects;

    public HttpProbe(ProbeOptions options, BackendAddress address, string? apiKey, TimeProvider time)
        : base(options.Timeout, time)
    {
        var elsewhere = options.Port is not null || options.Scheme is not null;
        var target = new UriBuilder(new Uri(address.BaseUri, options.Path.TrimStart('/')));
        target.Scheme = options.Scheme ?? target.Scheme;
        target.Port = options.Port ?? target.Port;
        _uri = target.Uri;
        _headers = options.Headers;

        // A key is for the server it was made for; another port may be anyone.
        _authorization = apiKey is null || elsewhere ? null : new("Bearer", apiKey);
        var way = elsewhere && address.UnixSocketPath is not null ? BackendAddress.Remote(_uri) : address;
        var handler = BackendHandler.Create(way, options.Timeout, maxConnections: 1);
        handler.MaxResponseDrainSize = 0; // what is drained, we drain

        // Each try has a connection of its own: on a kept one that the server has closed meanwhile, the handler would have to ask again.
        handler.PooledConnectionLifetime = TimeSpan.Zero;
        handler.ConnectCallback = (context, cancellationToken) => ConnectOnceAsync(
            way.UnixSocketPath is { } path ? new UnixDomainSocketEndPoint(path) : context.DnsEndPoint, cancellationToken);
        _invoker = new(handler);
    }

    /// <summary>The handler asks again by itself when a connection ends without an answer; but a server that hangs up is what a probe is there to find.</summary>
    private ValueTask<Stream> ConnectOnceAsync(EndPoint endpoint, CancellationToken cancellationToken) =>
        Interlocked.Increment(ref _connects) == 1
            ? BackendHandler.ConnectAsync(endpoint, cancellationToken)
            : throw new SocketException((int)SocketError.ConnectionReset);

    private protected override async Task<ProbeResult> AskAsync(long started, CancellationToken cancellationToken)
    {
        Volatile.Write(ref _connects, 0);
        using var request = new HttpRequestMessage(HttpMethod.Get, _uri);
        request.Headers.Authorization = _authorization;
        foreach (var (name, value) in _headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        using var response = await _invoker.SendAsync(request, cancellationToken);
        var beginning = await DrainAsync(response, cancellationToken);
        var status = (int)response.StatusCode;
        var elapsed = Time.GetElapsedTime(started);
        return status switch
        {
            >= 200 and < 400 => ProbeResult.Pass(elapsed, status),
            (int)HttpStatusCode.ServiceUnavailable when beginning.Contains("Loading model", StringComparison.OrdinalIgnoreCase)
                => new(ProbeOutcome.Loading, ProbeReason.Status, status, elapsed),
            _ => ProbeResult.Fail(ProbeReason.Status, elapsed, status),
        };
    }

    /// <summary>Reads the answer to its end, or to the limit, and returns its first kilobyte as Latin-1.</summary>
    private static async Task<string> DrainAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        var buffer = new byte[4096];
        var beginning = string.Empty;
        for (var total = 0; total < MaxDrainedBytes;)
        {
            var read = await body.ReadAsync(buffer, cancellationToken);
            if (read == 0)
            {
                break;
            }

            if (beginning.Length < 1024)
            {
                beginning += System.Text.Encoding.Latin1.GetString(buffer, 0, Math.Min(read, 1024));
            }

            total += read;
        }

        return beginning;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _invoker.Dispose();
        }

        base.Dispose(disposing);
    }
}
