using System.Net;
using LlmGateway.Gateway.Telemetry;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace LlmGateway.Gateway.Tests.Telemetry;

/// <summary>A <c>/metrics</c> on a port of its own.</summary>
internal sealed class Scrape : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly HttpClient _client;

    private Scrape(WebApplication app) => (_app, _client) = (app, new HttpClient { BaseAddress = new Uri(app.Urls.Single()) });

    public static async Task<Scrape> StartAsync(GatewayTelemetry telemetry)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        app.MapPrometheusScrapingEndpoint("/metrics", telemetry.Provider, configureBranchedPipeline: null, optionsName: null);
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new Scrape(app);
    }

    /// <summary>The lines with the gateway's own series.</summary>
    public async Task<string[]> LinesAsync()
    {
        // The exporter keeps an answer for 300 ms; another format is another answer, and what left is gone after one collection.
        var lines = Array.Empty<string>();
        foreach (var accept in new[] { "application/openmetrics-text; version=1.0.0", "text/plain" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "metrics") { Headers = { { "Accept", accept } } };
            using var response = await _client.SendAsync(request, TestContext.Current.CancellationToken);
            lines = [.. (await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).Split('\n').Where(line => line.StartsWith("llmgateway_", StringComparison.Ordinal))];
        }

        return lines;
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _app.DisposeAsync();
    }
}
