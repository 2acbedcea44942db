using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Operations.Health;
using LlmGateway.Gateway.Operations.Profiling;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
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
        _data = BuildDataPlane(time);
        _logger = _data.Services.GetRequiredService<ILoggerFactory>().CreateLogger<GatewayHost>();
        _management = BuildManagementPlane();
    }

    public ManagementToken Token { get; }

    public Lifecycle Lifecycle => _data.Services.GetRequiredService<Lifecycle>();

    /// <summary>Where the data listener really listens.</summary>
    public IEnumerable<string> DataUrls => Urls(_data);

    /// <summary>Where the management listener really listens.</summary>
    public IEnumerable<string> ManagementUrls => Urls(_management);

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

        await _management.StartAsync(cancellationToken);
        await _data.StartAsync(cancellationToken);
        _data.Services.GetRequiredService<ModelKeeper>().Start();
        _data.Services.GetRequiredService<ConfigurationWatch>();
    }

    /// <summary>Reads the configuration file again and applies what differs.</summary>
    public void Reload() => _data.Services.GetRequiredService<Reloader>().Reload("SIGHUP");

    /// <summary>Takes no new work, lets what is there finish, then ends the processes and the listeners.</summary>
    /// <param name="signal">Who asked, for the log.</param>
    /// <param name="hurry">Cancelled when whoever asked has asked again: skips what is left of the waits.</param>
    public async Task StopAsync(string signal, CancellationToken hurry)
    {
        var lifecycle = Lifecycle;
        Log.Draining(_logger, signal, lifecycle.InFlight, _options.Gateway.DrainTimeout);
        try
        {
            await lifecycle.DrainAsync().WaitAsync(_options.Gateway.DrainTimeout, hurry);
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
        var builder = WebServer.Create(_options.Gateway.Listen, _options.Gateway.Tls, _options.Gateway.LogFormat, kestrel =>
        {
            // The reader's limit, not Kestrel's: with its own Kestrel leaves the rest unread, the connection is reset, and the client may lose the 413.
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(30);
        });
        builder.Services.AddSingleton(_telemetry.Meters).AddDataPlane(_configuration, time);
        builder.Services.Configure<ProcessManagerOptions>(options => options.StateDirectory = _state.Path);
        var app = builder.Build();
        app.UseDataPlane();
        app.Services.GetRequiredService<BackendMetrics>();
        app.Services.GetRequiredService<LlamaServerMetrics>();
        app.Services.GetRequiredService<PoolWatch>();
        app.Services.GetRequiredService<BackendEvents>();
        app.Services.GetRequiredService<BuildMetrics>();
        app.Services.GetRequiredService<ScalingMetrics>();
        return app;
    }

    private WebApplication BuildManagementPlane()
    {
        var builder = WebServer.Create(_options.Management.Listen, _options.Gateway.Tls, _options.Gateway.LogFormat, kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = 64 * 1024;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5);
            kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(60);
        });
        builder.Services.AddSingleton(_telemetry.Meters);
        builder.Services.AddSingleton<IConnectionListenerFactory>(services => new HealthFirstTransport(
            () => Lifecycle.IsReady, _data.Services.GetRequiredService<TimeProvider>(), services.GetRequiredService<ILoggerFactory>()));
        var app = builder.Build();
        app.UseManagementPlane(_options, Token);
        app.MapManagementApi(
            Lifecycle,
            _data.Services.GetRequiredService<StatusReporter>(),
            _data.Services.GetRequiredService<EventStream>(),
            _data.Services.GetRequiredService<BackendSources>(),
            _options,
            _logger);
        app.MapModelApi(_data.Services.GetRequiredService<LiveCatalogue>(), _data.Services.GetRequiredService<ModelKeeper>(), _data.Services.GetRequiredService<Reloader>(), _logger);
        app.MapProfiler(_data.Services.GetRequiredService<TimeProvider>(), _logger);
        app.MapPrometheusScrapingEndpoint("/metrics", _telemetry.Provider, configureBranchedPipeline: null, optionsName: null)
            .WithMetadata(new HttpMethodMetadata([HttpMethods.Get, HttpMethods.Head]));
        return app;
    }

    private static IEnumerable<string> Urls(WebApplication app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses ?? [];
}
