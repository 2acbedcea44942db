using System.Net;
using System.Security.Cryptography.X509Certificates;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager;
using LlmGateway.ProcessManager.Replicas;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LlmGateway.Gateway;

/// <summary>A running gateway: two web servers over one set of rooms, and the processes behind them.</summary>
internal sealed class GatewayHost : IAsyncDisposable
{
    private readonly LoadedConfiguration _configuration;
    private readonly GatewayOptions _options;
    private readonly WebApplication _data;
    private readonly WebApplication _management;
    private readonly List<IBackendSource> _sources = [];
    private readonly ILogger _logger;

    public GatewayHost(LoadedConfiguration configuration, TimeProvider time)
    {
        (_configuration, _options) = (configuration, configuration.Options);
        Token = ManagementToken.LoadOrCreate(_options.Management.TokenFile ?? Path.Combine(StateDirectory(_options), "management.token"));
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
        foreach (var source in _sources)
        {
            source.Start();
        }
    }

    /// <summary>Looks at the configuration file again. Applying a changed one needs a restart for now, and the log says so.</summary>
    public void Reload()
    {
        if (_configuration.Path is not { } path)
        {
            Log.NothingToReload(_logger);
            return;
        }

        var errors = ConfigurationFile.Load(path, []).Errors;
        Log.Reread(_logger, path, errors.IsEmpty ? "valid; restart the gateway to apply it" : string.Join("; ", errors));
    }

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

        await Task.WhenAll(_sources.Select(source => source.StopAsync(hurry)));

        // The servers have nothing left to wait for.
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _data.StopAsync(now.Token);
        await _management.StopAsync(now.Token);
        Log.Stopped(_logger);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var source in _sources.OfType<IAsyncDisposable>())
        {
            await source.DisposeAsync();
        }

        await _data.DisposeAsync();
        await _management.DisposeAsync();
    }

    private WebApplication BuildDataPlane(TimeProvider time)
    {
        var builder = NewServer(_options.Gateway.Listen, kestrel =>
        {
            // The reader's limit, not Kestrel's: with its own Kestrel leaves the rest unread, the connection is reset, and the client may lose the 413.
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(30);
        });
        var catalogue = new ModelCatalogue(_options);
        builder.Services
            .AddSingleton(_configuration)
            .AddSingleton(_options)
            .AddSingleton(catalogue)
            .AddSingleton(time)
            .AddSingleton(new BodyBudget((_options.Queue.MaxBytes ?? ByteSize.FromMiB(256)).Bytes) { LongestBody = _options.Gateway.MaxRequestBody.Bytes })
            .AddSingleton<RequestReader>()
            .AddSingleton<RequestMetrics>()
            .AddSingleton<KeyRing>()
            .AddSingleton<BackendRegistry>()
            .AddSingleton<BackendMetrics>()
            .AddSingleton<ISlotCensus, SlotCensus>()
            .AddSingleton<SlotReclaimer>()
            .AddSingleton<SchedulingMetrics>()
            .AddSingleton<Scheduler>()
            .AddSingleton<ReplicaTraffic>()
            .AddSingleton<BackendInvokers>()
            .AddSingleton<InferenceHandler>()
            .AddSingleton<Lifecycle>()
            .AddSingleton<StatusReporter>()
            .AddProcessManager()
            .AddHttpForwarder()
            .AddCors();
        var app = builder.Build();
        app.UseDataPlane();
        app.Services.GetRequiredService<BackendMetrics>();
        AddSources(app.Services, catalogue);
        return app;
    }

    private void AddSources(IServiceProvider services, ModelCatalogue catalogue)
    {
        var registry = services.GetRequiredService<BackendRegistry>();
        var factory = services.GetRequiredService<IReplicaSetFactory>();
        var traffic = services.GetRequiredService<ReplicaTraffic>();
        foreach (var model in catalogue.Models)
        {
            _sources.Add(model.IsLocal
                ? new SupervisedBackends(model, factory.Create(model.ToReplicaSet(catalogue.LocalReplicas, SimulatorPath) with { DrainTimeout = _options.Gateway.DrainTimeout }, traffic), registry)
                : new RemoteBackends(model, registry, services.GetRequiredService<TimeProvider>(), services.GetRequiredService<ILoggerFactory>()));
        }
    }

    private WebApplication BuildManagementPlane()
    {
        var builder = NewServer(_options.Management.Listen, kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = 64 * 1024;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5);
            kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(60);
        });
        builder.Services.AddGatewayMetrics(
            [RequestMetrics.MeterName, SchedulingMetrics.MeterName, BackendMetrics.MeterName, .. ProcessManagerServices.MeterNames]);
        var app = builder.Build();
        app.UseManagementPlane(_options, Token);
        app.MapManagementApi(
            Lifecycle,
            _data.Services.GetRequiredService<StatusReporter>(),
            _sources.OfType<SupervisedBackends>().ToDictionary(source => source.Replicas.Model, source => source.Replicas),
            _options,
            _logger);
        app.MapPrometheusScrapingEndpoint("/metrics");
        return app;
    }

    /// <summary>Where the built-in simulator lies: beside the gateway.</summary>
    public static string SimulatorPath { get; } =
        Path.Combine(AppContext.BaseDirectory, "simulator", OperatingSystem.IsWindows() ? "llama-simulator.exe" : "llama-simulator");

    private WebApplicationBuilder NewServer(IReadOnlyList<string> urls, Action<KestrelServerOptions> limits)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Configuration.Sources.Clear();
        builder.Logging.ClearProviders()
            .AddSimpleConsole(console => (console.SingleLine, console.UseUtcTimestamp, console.TimestampFormat) = (true, true, "yyyy-MM-dd'T'HH:mm:ss.fff'Z' "))
            .SetMinimumLevel(LogLevel.Information)
            .AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("System", LogLevel.Warning)
            .AddFilter("Yarp", LogLevel.None)
            // A failed start is thrown to whoever asked for it, and told in one sentence there.
            .AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);

        // Signals are the gateway's own business: see Program.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.AddRouting();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestHeadersTotalSize = 32 * 1024;
            kestrel.Limits.MaxRequestHeaderCount = 100;
            limits(kestrel);
            foreach (var url in urls)
            {
                Listen(kestrel, url);
            }
        });
        return builder;
    }

    private void Listen(KestrelServerOptions kestrel, string text)
    {
        if (!ListenUrl.TryParse(text, out var url))
        {
            throw new InvalidOperationException($"{text} was not validated.");
        }

        void Configure(ListenOptions listen)
        {
            listen.Protocols = HttpProtocols.Http1;
            if (url.IsTls)
            {
                listen.Protocols = HttpProtocols.Http1AndHttp2;
                var tls = _options.Gateway.Tls!;
                listen.UseHttps(X509Certificate2.CreateFromPemFile(tls.Certificate!, tls.Key));
            }
        }

        if (url.Address is { } address)
        {
            kestrel.Listen(address, url.Port, Configure);
        }
        else if (url.Port == 0)
        {
            kestrel.Listen(IPAddress.Loopback, 0, Configure);
        }
        else
        {
            kestrel.ListenLocalhost(url.Port, Configure);
        }
    }

    private static IEnumerable<string> Urls(WebApplication app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses ?? [];

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
