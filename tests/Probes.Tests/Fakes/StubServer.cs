using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LlmGateway.Probes.Tests.Fakes;

/// <summary>A real HTTP server on a free port, or on a Unix socket, that answers as it is told. Removes its socket's folder.</summary>
internal sealed class StubServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private StubServer(WebApplication app, BackendAddress address) => (_app, Address) = (app, address);

    public BackendAddress Address { get; }

    public ConcurrentQueue<(string Path, IHeaderDictionary Headers, string Connection)> Requests { get; } = new();

    public static Task<StubServer> StartAsync(int status, string body = "", string contentType = "application/json") =>
        StartAsync(context =>
        {
            context.Response.StatusCode = status;
            context.Response.ContentType = contentType;
            return context.Response.WriteAsync(body);
        });

    public static async Task<StubServer> StartAsync(RequestDelegate answer, string? socket = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            if (socket is null)
            {
                kestrel.Listen(IPAddress.Loopback, 0);
            }
            else
            {
                kestrel.ListenUnixSocket(socket);
            }
        });
        var app = builder.Build();
        StubServer? server = null;
        app.Run(context =>
        {
            server!.Requests.Enqueue((context.Request.Path, new HeaderDictionary(context.Request.Headers.ToDictionary()), context.Connection.Id));
            return answer(context);
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        var url = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        server = new(app, socket is null ? BackendAddress.Tcp("127.0.0.1", new Uri(url).Port) : BackendAddress.Unix(socket));
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        if (Address.UnixSocketPath is { } path)
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }
}
