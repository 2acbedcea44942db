using System.Net.Sockets;
using System.Text;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.Probes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>The data plane on a port of its own, over backends that a test reports: no processes, no probes.</summary>
internal sealed class GatewayUnderTest : IAsyncDisposable
{
    private readonly WebApplication _app;
    private int _disposed;

    private GatewayUnderTest(WebApplication app) => _app = app;

    public BackendRegistry Registry => _app.Services.GetRequiredService<BackendRegistry>();

    public Scheduler Scheduler => _app.Services.GetRequiredService<Scheduler>();

    public StatusReporter Reporter => _app.Services.GetRequiredService<StatusReporter>();

    public RequestLedger Ledger => _app.Services.GetRequiredService<RequestLedger>();

    public BodyBudget Budget => _app.Services.GetRequiredService<BodyBudget>();

    public Uri Url => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());

    public static async Task<GatewayUnderTest> StartAsync(TimeProvider time, Func<ModelOptions, ModelOptions>? change = null, Func<GatewayOptions, GatewayOptions>? root = null)
    {
        var options = new GatewayOptions { Models = new Dictionary<string, ModelOptions> { ["m"] = Configured.Remote(slots: 1, remotes: 2, change: change) } };
        options = root?.Invoke(options) ?? options;
        var builder = WebServer.CreateData(options.Gateway with { Listen = ["http://127.0.0.1:0"] });
        builder.Logging.ClearProviders();
        builder.Services
            .AddDataPlane(new LoadedConfiguration(null, options, [], []), time)
            .AddSingleton(new BodyBudget(1 << 20) { LongestBody = options.Gateway.MaxRequestBody.Bytes })
            .AddSingleton<ISlotCensus, IdleCensus>();
        var app = builder.Build();
        app.UseDataPlane();
        foreach (var model in options.Models.Keys)
        {
            app.Services.GetRequiredService<BackendRegistry>().Add(model);
        }

        app.Services.GetRequiredService<Scheduler>();
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new GatewayUnderTest(app);
    }

    public Backend Add(BackendAddress address, int index = 0, int generation = 0, int slots = 1, string model = "m")
    {
        var backend = new Backend($"{model}/{index}", model, generation, address, "backend-key", hasSlotsEndpoint: true);
        Registry.Report(model, Servers.Entry(backend, slots));
        return backend;
    }

    /// <summary>A client of the data listener.</summary>
    public HttpClient Client(SocketsHttpHandler? handler = null) => new(handler ?? new SocketsHttpHandler()) { BaseAddress = Url };

    /// <summary>Sends bytes as a client and gives the connection.</summary>
    public async Task<ClientConnection> SendAsync(string body, string path = "/v1/chat/completions", string headers = "")
    {
        var client = new TcpClient();
        await client.ConnectAsync(Url.Host, Url.Port, TestContext.Current.CancellationToken);
        var connection = new ClientConnection(client);
        await connection.WriteAsync($"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{Url.Port}\r\nContent-Type: application/json\r\n{headers}Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}");
        return connection;
    }

    /// <summary>Completes when so many requests wait in the model's queue.</summary>
    public Task UntilQueuedAsync(string model, int depth) =>
        TestKit.Eventually.TrueAsync(() => Scheduler.Status(model).Depth == depth, $"{depth} in the queue", TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private sealed class IdleCensus : ISlotCensus
    {
        public Task<int?> BusyAsync(Backend backend, CancellationToken cancellationToken) => Task.FromResult<int?>(0);
    }
}

/// <summary>A client's end of one connection.</summary>
internal sealed class ClientConnection(TcpClient client) : IDisposable
{
    private readonly StringBuilder _read = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>All that was read so far.</summary>
    public string Text => _read.ToString();

    public Task WriteAsync(string text) => client.GetStream().WriteAsync(Encoding.UTF8.GetBytes(text), Ct).AsTask();

    /// <summary>Reads until a text has come, and gives all that was read so far.</summary>
    public async Task<string> ReadUntilAsync(string text)
    {
        while (!_read.ToString().Contains(text, StringComparison.Ordinal))
        {
            if (!await ReadMoreAsync())
            {
                throw new IOException($"The connection ended before '{text}': {_read}");
            }
        }

        return _read.ToString();
    }

    /// <summary>Reads until the gateway closes; true at the end when it did so in good order.</summary>
    public async Task<(string Text, bool InGoodOrder)> ReadToEndAsync()
    {
        try
        {
            while (await ReadMoreAsync())
            {
            }

            return (_read.ToString(), true);
        }
        catch (IOException)
        {
            return (_read.ToString(), false);
        }
    }

    /// <summary>Leaves at once, as a killed client does.</summary>
    public void Reset()
    {
        client.Client.LingerState = new LingerOption(true, 0);
        client.Dispose();
    }

    public void Dispose() => client.Dispose();

    /// <summary>Reads what comes next; false at the end.</summary>
    public async Task<bool> ReadMoreAsync()
    {
        var buffer = new byte[4096];
        var read = await client.GetStream().ReadAsync(buffer, Ct);
        _read.Append(Encoding.UTF8.GetString(buffer, 0, read));
        return read > 0;
    }
}
