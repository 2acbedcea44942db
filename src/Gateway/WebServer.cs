using System.Net;
using System.Security.Cryptography.X509Certificates;
using LlmGateway.Gateway.Models;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging.Console;

namespace LlmGateway.Gateway;

/// <summary>A Kestrel server as both listeners want it: no configuration of its own, no signals of its own, one log line an event on standard error.</summary>
internal static class WebServer
{
    /// <param name="urls">Where it listens; validated before.</param>
    /// <param name="tls">For the https ones.</param>
    /// <param name="format">Of the log's lines.</param>
    /// <param name="limits">What differs between the two.</param>
    public static WebApplicationBuilder Create(IReadOnlyList<string> urls, TlsOptions? tls, LogFormat format, Action<KestrelServerOptions> limits)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Configuration.Sources.Clear();
        AddConsole(builder.Logging.ClearProviders(), format)
            .SetMinimumLevel(LogLevel.Information)
            .AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("System", LogLevel.Warning)
            .AddFilter("Yarp", LogLevel.None)
            // A failed start is thrown to whoever asked for it, and told in one sentence there.
            .AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.AddRouting();

        // Signals are the gateway's own business: see ServeVerb.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestHeadersTotalSize = 32 * 1024;
            kestrel.Limits.MaxRequestHeaderCount = 100;
            limits(kestrel);
            foreach (var url in urls)
            {
                Listen(kestrel, url, tls);
            }
        });
        return builder;
    }

    private static ILoggingBuilder AddConsole(ILoggingBuilder logging, LogFormat format)
    {
        const string Timestamp = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";
        if (format == LogFormat.Text)
        {
            return logging.AddSimpleConsole(console => (console.SingleLine, console.UseUtcTimestamp, console.TimestampFormat) = (true, true, Timestamp + " "));
        }

        return logging.Configure(options => options.ActivityTrackingOptions = ActivityTrackingOptions.TraceId | ActivityTrackingOptions.SpanId)
            .AddJsonConsole(console => (console.IncludeScopes, console.UseUtcTimestamp, console.TimestampFormat) = (true, true, Timestamp));
    }

    private static void Listen(KestrelServerOptions kestrel, string text, TlsOptions? tls)
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
                listen.UseHttps(X509Certificate2.CreateFromPemFile(tls!.Certificate!, tls.Key));
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
