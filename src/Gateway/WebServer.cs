using System.Net;
using System.Net.Security;
using LlmGateway.Gateway.Models;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging.Console;

namespace LlmGateway.Gateway;

/// <summary>A Kestrel server as both listeners want it: no configuration of its own, no signals of its own, one log line an event on standard error.</summary>
internal static class WebServer
{
    /// <summary>The data listener: long answers, large bodies, many clients.</summary>
    public static WebApplicationBuilder CreateData(DataPlaneOptions options) => Create(options.Listen, options.Tls, options.LogFormat, kestrel =>
    {
        // The reader's limit, not Kestrel's: with its own Kestrel leaves the rest unread, the connection is reset, and the client may lose the 413.
        kestrel.Limits.MaxRequestBodySize = null;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(30);
        kestrel.Limits.MaxConcurrentConnections = options.MaxConnections;
    });

    /// <summary>The management listener: short calls of few clients.</summary>
    public static WebApplicationBuilder CreateManagement(ManagementOptions options, DataPlaneOptions common) => Create(options.Listen, common.Tls, common.LogFormat, kestrel =>
    {
        kestrel.Limits.MaxRequestBodySize = 64 * 1024;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5);
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(60);
        kestrel.Limits.MaxConcurrentConnections = 1024;
    });

    /// <param name="urls">Where it listens; validated before.</param>
    /// <param name="tls">For the https ones.</param>
    /// <param name="format">Of the log's lines.</param>
    /// <param name="limits">What differs between the two.</param>
    private static WebApplicationBuilder Create(IReadOnlyList<string> urls, TlsOptions? tls, LogFormat format, Action<KestrelServerOptions> limits)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Configuration.Sources.Clear();
        AddConsole(builder.Logging, format)
            .SetMinimumLevel(LogLevel.Information)
            .AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("System", LogLevel.Warning)
            .AddFilter("Yarp", LogLevel.None)
            // A failed start is thrown to whoever asked for it, and told in one sentence there.
            .AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        // Whoever reads the log may stop reading: lines are lost then, and counted, but no request waits for them.
        builder.Services.Configure<ConsoleLoggerOptions>(console =>
            (console.LogToStandardErrorThreshold, console.QueueFullMode) = (LogLevel.Trace, ConsoleLoggerQueueFullMode.DropWrite));
        builder.Services.AddRouting();
        if (format == LogFormat.Text)
        {
            // Else the web server makes a span and a scope for every request, which only JSON's lines show.
            builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        }

        // Signals are the gateway's own business: see ServeVerb.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        // A line ends with CRLF and nothing else: what a proxy in front takes for one line must not be two here.
        AppContext.SetSwitch("Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators", true);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestHeadersTotalSize = 32 * 1024;
            kestrel.Limits.MaxRequestHeaderCount = 100;
            kestrel.Limits.MaxRequestLineSize = 8 * 1024;
            kestrel.Limits.MaxConcurrentUpgradedConnections = 0;

            // Kestrel's own bounds on resets and control frames come on top.
            kestrel.Limits.Http2.MaxStreamsPerConnection = 100;
            kestrel.Limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
            kestrel.Limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(20);
            limits(kestrel);
            var certificate = tls is null ? null : new TlsCertificate(tls, TimeProvider.System);
            var reserve = new DescriptorReserve(TimeProvider.System, kestrel.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger<DescriptorReserve>());
            foreach (var url in urls)
            {
                Listen(kestrel, url, certificate, reserve);
            }
        });
        return builder;
    }

    private static ILoggingBuilder AddConsole(ILoggingBuilder logging, LogFormat format)
    {
        const string Timestamp = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";
        _ = format == LogFormat.Text
            ? logging.AddSimpleConsole(console => (console.SingleLine, console.UseUtcTimestamp, console.TimestampFormat) = (true, true, Timestamp + " "))
            : logging.Configure(options => options.ActivityTrackingOptions = ActivityTrackingOptions.TraceId | ActivityTrackingOptions.SpanId)
                .AddJsonConsole(console => (console.IncludeScopes, console.UseUtcTimestamp, console.TimestampFormat) = (true, true, Timestamp));
        logging.ClearProviders().Services.AddSingleton<ConsoleLoggerProvider>().AddSingleton<ILoggerProvider, ConsoleLog>();
        return logging;
    }

    private static void Listen(KestrelServerOptions kestrel, string text, TlsCertificate? certificate, DescriptorReserve reserve)
    {
        if (!ListenUrl.TryParse(text, out var url))
        {
            throw new InvalidOperationException($"{text} was not validated.");
        }

        void Configure(ListenOptions listen)
        {
            listen.Use(next => connection => reserve.OnConnectionAsync(connection, next));

            // Without TLS there is no HTTP/2: nothing negotiates it, and its floods are not worth the risk on a plain port.
            listen.Protocols = HttpProtocols.Http1;
            if (url.IsTls)
            {
                listen.Protocols = HttpProtocols.Http1AndHttp2;
                var logger = kestrel.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(WebServer).FullName!);
                listen.UseHttps(new TlsHandshakeCallbackOptions
                {
                    OnConnection = async _ =>
                    {
                        // Files are read, keys are computed with: not where other connections wait.
                        await Task.Yield();
                        return new SslServerAuthenticationOptions { ServerCertificateContext = certificate!.Get(e => Log.CertificateUnusable(logger, e.Message)) };
                    },
                });
            }
        }

        if (url.Address is { } address)
        {
            kestrel.Listen(address, url.Port, Configure);
        }
        else if (url.Port == 0)
        {
            // "localhost" means two addresses, and the system would choose a port for each.
            kestrel.Listen(IPAddress.Loopback, 0, Configure);
        }
        else
        {
            kestrel.ListenLocalhost(url.Port, Configure);
        }
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
