using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>From request line to handler, in the order of the real server: loading, key, route.</summary>
internal sealed class Dispatcher(Simulation simulation)
{
    private const int RequestsPerConnection = 100;

    private readonly Dictionary<(string Method, string Path), Func<Exchange, Task>> _routes = Routes.All();

    public async Task HandleAsync(HttpContext http)
    {
        using var exchange = new Exchange(simulation, http);
        try
        {
            await DispatchAsync(exchange).ConfigureAwait(false);
        }
        catch (ApiException e) when (!http.Response.HasStarted)
        {
            await exchange.ReplyAsync(e).ConfigureAwait(false);
        }
        catch (BadHttpRequestException e) when (!http.Response.HasStarted)
        {
            http.Response.StatusCode = e.StatusCode;
            http.Response.Headers.Connection = "close";
        }
        catch (Exception e) when (e is OperationCanceledException or AbandonedException or StoppedException or BrokenOffException or IOException)
        {
            // The client has gone, or the connection was broken on purpose. An answer that has not begun must not be completed with an empty 200.
            if (!http.Response.HasStarted)
            {
                http.Abort();
            }
        }
    }

    private async Task DispatchAsync(Exchange exchange)
    {
        var request = exchange.Http.Request;
        var path = request.Path.Value ?? "/";
        if (path.StartsWith("/sim/", StringComparison.Ordinal))
        {
            await ControlApi.HandleAsync(exchange, path).ConfigureAwait(false);
            return;
        }

        await exchange.HoldWhileAsync(static f => f.Wedge).ConfigureAwait(false);
        SetHeaders(exchange.Http);
        if (HttpMethods.IsOptions(request.Method))
        {
            var headers = exchange.Http.Response.Headers;
            headers.AccessControlAllowCredentials = "true";
            headers.AccessControlAllowMethods = "GET, POST, DELETE, OPTIONS";
            headers.AccessControlAllowHeaders = "*";
            await exchange.ReplyAsync(ReadOnlyMemory<byte>.Empty, "text/html").ConfigureAwait(false);
            return;
        }

        if (path != "/" && !simulation.State.IsReady)
        {
            throw ApiException.Loading();
        }

        if (path is not ("/" or "/health" or "/v1/health") && !IsAllowed(request))
        {
            throw ApiException.InvalidKey();
        }

        if (request.Headers.ContentEncoding.Count > 0 && HttpMethods.IsPost(request.Method))
        {
            exchange.Http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            exchange.Http.Response.Headers.Connection = "close";
            exchange.Http.Response.Headers.Remove("Keep-Alive");
            return;
        }

        var method = HttpMethods.IsHead(request.Method) ? HttpMethods.Get : request.Method;
        var handler = _routes.GetValueOrDefault((method, path)) ?? throw ApiException.NotFound();
        await handler(exchange).ConfigureAwait(false);
    }

    private bool IsAllowed(HttpRequest request)
    {
        var keys = simulation.Settings.ApiKeys;
        if (keys.Count == 0)
        {
            return true;
        }

        var key = request.Headers.Authorization.ToString();
        key = key.StartsWith("Bearer ", StringComparison.Ordinal) ? key["Bearer ".Length..] : key;
        return keys.Contains(key, StringComparer.Ordinal) || keys.Contains(request.Headers["X-Api-Key"].ToString(), StringComparer.Ordinal);
    }

    private static void SetHeaders(HttpContext http)
    {
        var headers = http.Response.Headers;
        headers.Server = "llama.cpp";
        headers.AccessControlAllowOrigin = http.Request.Headers.Origin.ToString();
        var tally = http.Features.Get<ConnectionTally>();
        if (tally is not null && ++tally.Requests >= RequestsPerConnection)
        {
            headers.Connection = "close";
        }
        else
        {
            headers.KeepAlive = "timeout=5, max=100";
        }
    }
}

/// <summary>What one connection has carried.</summary>
internal sealed class ConnectionTally
{
    public int Requests { get; set; }
}
