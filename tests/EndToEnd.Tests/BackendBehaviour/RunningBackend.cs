using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

/// <summary>A started server and the ways to talk to it.</summary>
public sealed class RunningBackend : IAsyncDisposable
{
    private const string Listening = "listening on ";

    private RunningBackend(ChildProcess process, Uri baseAddress)
    {
        Process = process;

        // A connection for each request: behind a stream the server closes without announcing it, and a pooled one would race with that.
        Client = new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero }) { BaseAddress = baseAddress };
    }

    public ChildProcess Process { get; }

    public HttpClient Client { get; }

    public static async Task<RunningBackend> StartAsync(string executable, IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        var process = ChildProcess.Start(executable, arguments);
        try
        {
            var line = await process.WaitForLineAsync(l => l.Contains(Listening, StringComparison.Ordinal), cancellationToken);
            return new RunningBackend(process, new Uri(line[(line.IndexOf(Listening, StringComparison.Ordinal) + Listening.Length)..]));
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    public async Task<Reply> GetAsync(string path, CancellationToken cancellationToken, params (string Name, string Value)[] headers) =>
        await SendAsync(HttpMethod.Get, path, null, cancellationToken, headers);

    public async Task<Reply> PostAsync(string path, string body, CancellationToken cancellationToken, params (string Name, string Value)[] headers) =>
        await SendAsync(HttpMethod.Post, path, body, cancellationToken, headers);

    public async Task<Reply> SendAsync(HttpMethod method, string path, string? body, CancellationToken cancellationToken, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path);
        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        request.Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json");
        using var response = await Client.SendAsync(request, cancellationToken);
        return new Reply(
            response.StatusCode,
            await response.Content.ReadAsStringAsync(cancellationToken),
            response.Headers.Concat(response.Content.Headers).ToDictionary(h => h.Key, h => string.Join(", ", h.Value), StringComparer.OrdinalIgnoreCase));
    }

    /// <summary>Sends a request and leaves its connection to the caller.</summary>
    public async Task<NetworkStream> SendRawAsync(string path, string body, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, Client.BaseAddress!.Port, cancellationToken);
        var stream = new NetworkStream(socket, ownsSocket: true);
        await stream.WriteAsync(
            Encoding.UTF8.GetBytes($"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}"),
            cancellationToken);
        return stream;
    }

    /// <summary>The value of one metric.</summary>
    public async Task<double> MetricAsync(string name, CancellationToken cancellationToken)
    {
        var line = (await GetAsync("/metrics", cancellationToken)).Body.Split('\n').Single(l => l.StartsWith($"llamacpp:{name} ", StringComparison.Ordinal));
        return double.Parse(line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..], System.Globalization.CultureInfo.InvariantCulture);
    }

    public Task SlotsBecomeIdleAsync(CancellationToken cancellationToken, TimeSpan? limit = null) => Eventually.TrueAsync(
        async () => (await GetAsync("/slots", cancellationToken)).Json.EnumerateArray().All(s => !s.GetProperty("is_processing").GetBoolean()),
        "all slots to be idle",
        cancellationToken,
        limit);

    public Task SlotsBecomeBusyAsync(int count, CancellationToken cancellationToken) => Eventually.TrueAsync(
        async () => (await GetAsync("/slots", cancellationToken)).Json.EnumerateArray().Count(s => s.GetProperty("is_processing").GetBoolean()) == count,
        $"{count} slots to be busy",
        cancellationToken);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Process.DisposeAsync();
    }
}

/// <summary>A whole answer.</summary>
public sealed record Reply(HttpStatusCode Status, string Body, IReadOnlyDictionary<string, string> Headers)
{
    public JsonElement Json => JsonDocument.Parse(Body).RootElement;

    /// <summary>The events of a stream, without comments: the name, if it has one, and the data.</summary>
    public IReadOnlyList<(string? Name, string Data)> Events =>
    [
        .. Body.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Where(e => !e.StartsWith(':')).Select(e =>
        {
            var lines = e.Split('\n');
            return (lines.FirstOrDefault(l => l.StartsWith("event: ", StringComparison.Ordinal))?["event: ".Length..], lines[^1]["data: ".Length..]);
        }),
    ];

    public string Header(string name) => Headers.GetValueOrDefault(name, "(absent)");
}

/// <summary>The form of JSON.</summary>
internal static class Shape
{
    /// <summary>The names of an object's members, in their order.</summary>
    public static string Members(this JsonElement json) => string.Join(' ', json.EnumerateObject().Select(p => p.Name));

    public static JsonElement Json(this (string? Name, string Data) @event) => JsonDocument.Parse(@event.Data).RootElement;

    public static string Text(this JsonElement json, string name) => json.GetProperty(name).GetString()!;

    public static int Number(this JsonElement json, string name) => json.GetProperty(name).GetInt32();
}
