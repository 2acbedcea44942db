using System.Net.Sockets;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Operations.Cli;
using LlmGateway.Gateway.Operations.Health;
using LlmGateway.Gateway.Operations.History;
using LlmGateway.Gateway.Operations.Login;
using LlmGateway.Gateway.Operations.Profiling;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using HeldState = LlmGateway.ProcessManager.Orphans.StateDirectory;

namespace LlmGateway.Gateway;

/// <summary>A running gateway: two web servers over one set of rooms, and the processes behind them.</summary>
internal sealed class GatewayHost : IAsyncDisposable
{
    private readonly LoadedConfiguration _configuration;
    private readonly GatewayOptions _options;
    private readonly GatewayTelemetry _telemetry;
    private readonly WebApplication _data;
    private readonly WebApplication _management;
    private readonly HeldState _state;
    private readonly ILogger _logger;

    public GatewayHost(LoadedConfiguration configuration, TimeProvider time)
    {
        (_configuration, _options) = (configuration, configuration.Options);
        _state = HeldState.Take(StateDirectory(_options));
        Token = ManagementToken.LoadOrCreate(_options.Management.TokenFile ?? Path.Combine(StateDirectory(_options), "management.token"));
        _telemetry = new GatewayTelemetry(
            StatusReport.Version,
            _options.Keys.Count,
            [RequestMetrics.MeterName, SchedulingMetrics.MeterName, BackendMetrics.MeterName, BuildMetrics.MeterName, ScalingMetrics.MeterName, .. ProcessManagerServices.MeterNames]);
        Sessions = new BrowserSessions(Token, time);
        _data = BuildDataPlane(time);
        _logger = _data.Services.GetRequiredService<ILoggerFactory>().CreateLogger<GatewayHost>();
        _management = BuildManagementPlane();
    }

    public ManagementToken Token { get; }

    public BrowserSessions Sessions { get; }

    public Lifecycle Lifecycle => _data.Services.GetRequiredService<Lifecycle>();

    /// <summary>Where the data listener really listens.</summary>
    public IEnumerable<string> DataUrls => Urls(_data);

    /// <summary>Where the management listener really listens.</summary>
    public IEnumerable<string> ManagementUrls => Urls(_management);

    /// <summary>Where the command line's verbs look for this gateway.</summary>
    private string UrlFile => Path.Combine(StateDirectory(_options), ManagementLink.UrlFile);

    /// <summary>A link that opens the dashboard once.</summary>
    public string LoginUrl
    {
        get
        {
            var url = new UriBuilder(ManagementUrls.First()) { Path = "/login", Query = $"code={Sessions.NewCode()}" };
            if (System.Net.IPAddress.TryParse(url.Host.Trim('[', ']'), out var address) && (address.Equals(System.Net.IPAddress.Any) || address.Equals(System.Net.IPAddress.IPv6Any)))
            {
                url.Host = "127.0.0.1"; // the name of "every address" is none that a browser could go to
            }

            return url.Uri.ToString();
        }
    }

    /// <summary>Folder for what outlives a run.</summary>
    public static string StateDirectory(GatewayOptions options) => options.Gateway.StateDirectory ?? Path.Combine(
        Environment.GetEnvironmentVariable("XDG_STATE_HOME") is { Length: > 0 } state
            ? state
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state"),
        "llm-gateway");

    /// <summary>Binds both listeners, then starts the processes: nothing is launched for a gateway that can't be reached.</summary>
    /// <exception cref="IOException">A listener could not bind; the message names the address.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var warning in _configuration.Warnings)
        {
            Log.ConfigurationWarning(_logger, warning);
        }

        await _data.Services.GetRequiredService<ModelKeeper>().PrepareAsync();
        await BindAsync(_management, _options.Management.Listen, cancellationToken);
        await BindAsync(_data, _options.Gateway.Listen, cancellationToken);
        await File.WriteAllTextAsync(UrlFile, ManagementUrls.First() + "\n", cancellationToken);
        _data.Services.GetRequiredService<BackgroundLook>().Start();
        _data.Services.GetRequiredService<ModelKeeper>().Start();
        _data.Services.GetRequiredService<ConfigurationWatch>();
    }

    private static async Task BindAsync(WebApplication server, IEnumerable<string> listen, CancellationToken cancellationToken)
    {
        try
        {
            await server.StartAsync(cancellationToken);
        }
        catch (SocketException e)
        {
            // Of an address in use the web server says which; not of one that is not ours, or not allowed.
            throw new IOException($"Failed to bind to address {string.Join(", ", listen)}: {e.Message}.", e);
        }
    }

    /// <summary>Reads the configuration file again and applies what differs.</summary>
    public void Reload() => _data.Services.GetRequiredService<Reloader>().Reload("SIGHUP");

    /// <summary>Takes no new work, lets what is there finish, then ends the processes and the listeners.</summary>
    /// <param name="signal">Who asked, for the log.</param>
    /// <param name="hurry">Cancelled when whoever asked has asked again: skips what is left of the waits.</param>
    public async Task StopAsync(string signal, CancellationToken hurry)
    {
        var lifecycle = Lifecycle;
        var patience = _data.Services.GetRequiredService<LiveCatalogue>().Options.Gateway.DrainTimeout;
        Log.Draining(_logger, signal, lifecycle.InFlight, patience);
        try
        {
            await lifecycle.DrainAsync().WaitAsync(patience, hurry);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            Log.DrainIncomplete(_logger, lifecycle.InFlight);

            // They had their time: the processes must not wait for the same requests once more.
            hurry = new CancellationToken(canceled: true);
        }

        await _data.Services.GetRequiredService<ModelKeeper>().StopAsync();
        await _data.Services.GetRequiredService<BackendSources>().StopAsync(hurry);

        // The servers have nothing left to wait for.
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _data.StopAsync(now.Token);
        await _management.StopAsync(now.Token);
        File.Delete(UrlFile);
        Log.Stopped(_logger);
    }

    public async ValueTask DisposeAsync()
    {
        await _data.Services.GetRequiredService<ModelKeeper>().StopAsync();
        await _data.Services.GetRequiredService<BackendSources>().DisposeAsync();
        await _data.DisposeAsync();
        await _management.DisposeAsync();
        await _telemetry.DisposeAsync();
        _state.Dispose();
    }

    private WebApplication BuildDataPlane(TimeProvider time)
    {
        var builder = WebServer.CreateData(_options.Gateway);
        builder.Services.Configure<SocketTransportOptions>(ClientSockets.Apply).Configure<SocketTransportOptions>(SocketThreads.Apply);
        builder.Services.AddSingleton(_telemetry.Meters).AddDataPlane(_configuration, time);
        builder.Services.Configure<ProcessManagerOptions>(options => options.StateDirectory = _state.Path);
        var app = builder.Build();
        app.UseDataPlane();
        app.Services.GetRequiredService<BackendMetrics>();
        app.Services.GetRequiredService<LlamaServerMetrics>();
        app.Services.GetRequiredService<PoolWatch>();
        app.Services.GetRequiredService<CompilerMemory>();
        app.Services.GetRequiredService<BackendEvents>();
        app.Services.GetRequiredService<BuildMetrics>();
        app.Services.GetRequiredService<ScalingMetrics>();
        return app;
    }

    private WebApplication BuildManagementPlane()
    {
        var builder = WebServer.CreateManagement(_options.Management, _options.Gateway);
        builder.Services.AddSingleton(_telemetry.Meters);
        builder.Services.AddSingleton<IConnectionListenerFactory>(services => new HealthFirstTransport(
            () => Lifecycle.IsReady, _data.Services.GetRequiredService<TimeProvider>(), services.GetRequiredService<ILoggerFactory>()));
        var app = builder.Build();
        app.UseManagementPlane(_options, Token, Sessions, _data.Services.GetRequiredService<LiveCatalogue>());
        app.MapManagementApi(_data.Services);
        app.MapModelApi(_data.Services.GetRequiredService<LiveCatalogue>(), _data.Services.GetRequiredService<ModelKeeper>(), _data.Services.GetRequiredService<Reloader>(), _logger);
        app.MapProfiler(_data.Services.GetRequiredService<TimeProvider>(), _logger);
        app.MapPrometheusScrapingEndpoint("/metrics", _telemetry.Provider, configureBranchedPipeline: null, optionsName: null)
            .WithMetadata(new HttpMethodMetadata([HttpMethods.Get, HttpMethods.Head]));
        return app;
    }

    private static IEnumerable<string> Urls(WebApplication app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses ?? [];
}
