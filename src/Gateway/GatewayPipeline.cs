using System.Globalization;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Operations.Login;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Telemetry;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace LlmGateway.Gateway;

/// <summary>The table of contents of a request: what happens to it, in order.</summary>
internal static class GatewayPipeline
{
    /// <summary>What load balancers and scrapers ask by whatever name they know.</summary>
    private static readonly string[] OpenToAnyHost = ["/health", "/healthz", "/readyz", "/metrics"];

    /// <summary>The data plane.</summary>
    public static void UseDataPlane(this WebApplication app)
    {
        var options = app.Services.GetRequiredService<GatewayOptions>();
        app.UseTraces();
        app.UseHonestErrors();
        app.UseHostGuard(new HostGuard(options.Gateway.Hosts, options.Gateway.CorsOrigins));
        if (options.Gateway.CorsOrigins.Count > 0)
        {
            app.UseCors(policy => policy.WithOrigins([.. options.Gateway.CorsOrigins]).AllowAnyHeader().AllowAnyMethod());
        }

        app.UseRouting();
        app.UseAdmission();
        app.UseKeys();
        app.MapInference();
    }

    /// <summary>The management plane.</summary>
    public static void UseManagementPlane(this WebApplication app, GatewayOptions options, ManagementToken token, BrowserSessions sessions, LiveCatalogue live)
    {
        app.UseHonestErrors();
        app.UseHostGuard(new HostGuard(options.Management.Hosts, []));
        app.UseRouting();
        var gate = new ManagementGate(token, sessions, live, app.Services.GetRequiredService<ILoggerFactory>().CreateLogger<ManagementGate>());
        app.Use((context, next) => gate.InvokeAsync(context, next));
        app.MapLogin(sessions);
    }

    /// <summary>One span for each request, while somebody exports spans.</summary>
    private static void UseTraces(this WebApplication app) => app.Use(async (context, next) =>
    {
        var request = context.Request;
        using var span = IsHealth(request.Path) ? null : Traces.StartRequest(request.Headers.TraceParent, request.Headers.TraceState);
        if (span is null)
        {
            await next(context);
            return;
        }

        context.Features.Set(span);
        span.SetTag("http.request.method", request.Method);
        await next(context);
        span.SetTag("http.response.status_code", context.Response.StatusCode);
        if (context.Response.StatusCode >= StatusCodes.Status500InternalServerError && span.GetTagItem("error.type") is null)
        {
            span.Fail(context.Response.StatusCode.ToString(CultureInfo.InvariantCulture));
        }
    });

    /// <summary>Gives each request its id, and every error the API's own shape.</summary>
    private static void UseHonestErrors(this WebApplication app)
    {
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("LlmGateway.Gateway");
        var time = app.Services.GetService<TimeProvider>() ?? TimeProvider.System;
        app.Use(async (context, next) =>
        {
            context.Features.Set(new Arrival(time.GetTimestamp()));
            context.TraceIdentifier = RequestId.From(context.Request.Headers[RequestId.Header]);
            context.Response.Headers[RequestId.Header] = context.TraceIdentifier;
            try
            {
                await next(context);
            }
            catch (Exception e) when (e is OperationCanceledException or IOException && (context.RequestAborted.IsCancellationRequested || e is ConnectionResetException))
            {
                // The client has left: nobody is there to be told.
            }
            catch (BadHttpRequestException e)
            {
                await WriteAsync(context, new ApiError(e.StatusCode, "invalid_request", "The request is not well-formed HTTP."));
            }
            catch (Exception e) when (!context.Response.HasStarted)
            {
                Log.RequestFailed(logger, context.TraceIdentifier, e);
                context.Response.Clear();
                await WriteAsync(context, ApiErrors.Internal);
            }

            if (context.Response is { HasStarted: false, ContentLength: null, ContentType: null, StatusCode: StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed })
            {
                await WriteAsync(context, context.Response.StatusCode == StatusCodes.Status404NotFound ? ApiErrors.UnknownEndpoint : ApiErrors.MethodNotAllowed);
            }
        });

        static Task WriteAsync(HttpContext context, ApiError error) =>
            ApiErrorWriter.WriteAsync(context, error, ApiErrorWriter.DialectOf(context.Request.Path), context.TraceIdentifier);
    }

    private static void UseHostGuard(this WebApplication app, HostGuard guard) => app.Use((context, next) =>
    {
        var headers = context.Request.Headers;
        var refusal = guard.Check(
            context.Request.Host,
            headers.Origin.ToString(),
            headers["Sec-Fetch-Site"].ToString(),
            context.Connection.LocalIpAddress,
            checkHost: !OpenToAnyHost.Contains(context.Request.Path.Value, StringComparer.OrdinalIgnoreCase));
        return refusal is null ? next(context) : new ApiErrorResult(refusal).ExecuteAsync(context);
    });

    /// <summary>Counts requests in and out, so that there are never too many and a drain knows when it is done.</summary>
    private static void UseAdmission(this WebApplication app)
    {
        var lifecycle = app.Services.GetRequiredService<Lifecycle>();
        app.Use(async (context, next) =>
        {
            if (IsHealth(context.Request.Path))
            {
                await next(context);
                return;
            }

            if (lifecycle.Enter() is { } refusal)
            {
                if (lifecycle.IsDraining)
                {
                    context.Response.Headers.Connection = "close";
                }

                await new ApiErrorResult(refusal).ExecuteAsync(context);
                return;
            }

            try
            {
                await next(context);
            }
            finally
            {
                lifecycle.Leave();
            }
        });
    }

    private static void UseKeys(this WebApplication app)
    {
        var ring = app.Services.GetRequiredService<KeyRing>();
        app.Use((context, next) =>
        {
            var caller = Caller.Anonymous;
            if (ring.IsRequired && !IsHealth(context.Request.Path))
            {
                if (ring.Find(context.Request.Headers.Authorization, context.Request.Headers["x-api-key"]) is not { } key)
                {
                    return new ApiErrorResult(ApiErrors.InvalidKey).ExecuteAsync(context);
                }

                caller = new Caller(key.Name, key.Options.Priority, key.Options.Priority, key.Allows) { Weight = key.Options.Weight };
            }

            context.Features.Set(caller);
            return next(context);
        });
    }

    private static void MapInference(this WebApplication app)
    {
        var services = app.Services;
        var lifecycle = services.GetRequiredService<Lifecycle>();
        app.MapMethods("/health", [HttpMethods.Get, HttpMethods.Head], () =>
            lifecycle.CanTakeWork && !lifecycle.IsDraining ? Results.Json(new { status = "ok" }) : Results.Json(new { status = "unavailable" }, statusCode: 503));

        var list = new ModelList(services.GetRequiredService<LiveCatalogue>(), services.GetRequiredService<BackendRegistry>(), lifecycle.StartedAt);
        string[] read = [HttpMethods.Get, HttpMethods.Head];
        app.MapMethods("/v1/models", read, (HttpContext context) => list.All(context.GetCaller()));
        app.MapMethods("/models", read, (HttpContext context) => list.All(context.GetCaller()));
        app.MapMethods("/v1/models/{**id}", read, (HttpContext context, string id) => list.One(context.GetCaller(), Uri.UnescapeDataString(id)));

        var reader = services.GetRequiredService<RequestReader>();
        var handler = services.GetRequiredService<InferenceHandler>();
        var metrics = services.GetRequiredService<RequestMetrics>();
        foreach (var endpoint in InferenceEndpoint.All)
        {
            foreach (var path in endpoint.Paths)
            {
                app.MapPost(path, async context =>
                {
                    var (request, error) = await reader.ReadAsync(context, endpoint, path, context.GetCaller(), context.TraceIdentifier);
                    if (request is null)
                    {
                        metrics.Ended(RequestMetrics.NoModel, endpoint.Name, error!.Status, RequestMetrics.OutcomeOf(error));
                        await ApiErrorWriter.WriteAsync(context, error, endpoint.Dialect, context.TraceIdentifier);
                        return;
                    }

                    using (request)
                    {
                        await handler.HandleAsync(context, request);
                    }
                });
            }
        }
    }

    private static Caller GetCaller(this HttpContext context) => context.Features.GetRequiredFeature<Caller>();

    private static bool IsHealth(PathString path) => path.Equals("/health", StringComparison.OrdinalIgnoreCase);
}
