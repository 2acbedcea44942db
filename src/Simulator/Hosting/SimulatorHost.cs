using System.Net.Sockets;
using System.Runtime.InteropServices;
using LlmGateway.Simulator.Api;
using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Engine;
using LlmGateway.Simulator.Injection;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LlmGateway.Simulator.Hosting;

/// <summary>The life of the process: listen, load, serve, stop.</summary>
internal sealed class SimulatorHost : IDisposable
{
    private readonly ServerSettings _settings;
    private readonly FaultSwitch _faults;
    private readonly TimeProvider _time;
    private readonly ServerLog _log;
    private readonly ServerState _state = new();
    private readonly Decoder _decoder;
    private readonly Simulation _simulation;
    private readonly FaultEffects _effects;
    private readonly CancellationTokenSource _stop = new();
    private readonly bool _isRouterChild = Environment.GetEnvironmentVariable("LLAMA_SERVER_ROUTER_PORT") is not null;
    private int _signals;

    public SimulatorHost(ServerSettings settings, Faults faults, Stream errors, TimeProvider time)
    {
        (_settings, _time, _faults) = (settings, time, new FaultSwitch(faults));
        _log = new ServerLog(errors, settings.Verbosity, time);
        var slots = new SlotPool(settings, _faults);
        var counters = new EngineCounters();
        _decoder = new Decoder(settings, _faults, slots, counters, _log, time);
        _simulation = new Simulation(settings, _faults, _state, slots, _decoder, counters, _log, time);
        _effects = new FaultEffects(_faults, slots, _log, time);
    }

    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync()
    {
        _log.Info("srv", "llama_server", "initializing ...");
        if (_faults.Current.ExitAt == ExitMoment.Start)
        {
            ProcessExit.ByFault(_faults.Current);
        }

        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(Configure);
        builder.WebHost.UseSockets(options => Listener.Transport(options, _settings));
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = Timeout.InfiniteTimeSpan);
        await using var app = builder.Build();
        app.Run(new Dispatcher(_simulation).HandleAsync);
        if (!await TryListenAsync(app).ConfigureAwait(false))
        {
            return 1;
        }

        // Before the model is loaded a signal has its default effect, as there.
        using var terminate = Handle(PosixSignal.SIGTERM);
        using var interrupt = Handle(PosixSignal.SIGINT);
        using var effects = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        var running = _effects.RunAsync(effects.Token);
        if (_isRouterChild)
        {
            RouterLink.Start(_faults);
        }

        if (!await LoadAsync().ConfigureAwait(false))
        {
            _log.Info("srv", "operator()", "operator(): cleaning up before exit...");
            _log.Error("srv", "llama_server", "exiting due to model loading error");
            return 1;
        }

        _state.IsReady = true;
        _log.Info("srv", "llama_server", $"listening on {AddressOf(app)}");
        if (_isRouterChild)
        {
            RouterLink.Tell("ready");
        }

        await StoppedAsync(running).ConfigureAwait(false);
        _log.Info("srv", "operator()", "operator(): cleaning up before exit...");
        _decoder.Stop();

        // Closes the port at once, then waits for the connections that still carry a request.
        await app.StopAsync().ConfigureAwait(false);
        return 0;
    }

    public void Dispose()
    {
        _stop.Dispose();
        _decoder.Dispose();
    }

    private void Configure(KestrelServerOptions options)
    {
        Listener.Limit(options);
        options.Listen(Listener.EndPointOf(_settings), listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.Use(next => connection => TallyAsync(next, connection));
        });
    }

    private async Task TallyAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        connection.Features.Set(new ConnectionTally());
        _state.Connected();
        try
        {
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            _state.Disconnected();
        }
    }

    private async Task<bool> TryListenAsync(WebApplication app)
    {
        try
        {
            await app.StartAsync().ConfigureAwait(false);
            _log.Info("sim", "bound", AddressOf(app));
            return true;
        }
        catch (Exception e) when (e is IOException or SocketException or ArgumentException or InvalidOperationException)
        {
            _log.Error("srv", "start", $"couldn't bind HTTP server socket, hostname: {_settings.Host}, port: {_settings.Port}");
            _log.Info("srv", "operator()", "operator(): cleaning up before exit...");
            _log.Error("srv", "llama_server", "exiting due to HTTP server error");
            return false;
        }
    }

    private Task<bool> LoadAsync() => new ModelLoading(_settings, _faults, _log, _time).RunAsync(_stop.Token);

    private async Task StoppedAsync(Task effects)
    {
        try
        {
            await effects.WaitAsync(_stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private PosixSignalRegistration Handle(PosixSignal signal) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        if (_faults.Current.IgnoreSigterm || _isRouterChild)
        {
            return;
        }

        if (!_state.IsReady)
        {
            ProcessExit.BySignal(signal == PosixSignal.SIGTERM ? 15 : 2);
        }

        if (Interlocked.Increment(ref _signals) > 1)
        {
            _log.Raw("Received second interrupt, terminating immediately.\n"u8);
            ProcessExit.Now(1);
        }

        _stop.Cancel();
    });

    private string AddressOf(WebApplication app) => Listener.IsUnixSocket(_settings)
        ? $"unix://{_settings.Host}"
        : app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First();

    /// <summary>Keeps the host from reacting to signals by itself.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
