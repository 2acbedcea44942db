using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
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

    private static readonly int LongestOpen = OpenToAnyHost.Max(static path => path.Length);

    /// <summary>Headers of an answer that a page of an allowed origin may read.</summary>
    private static readonly string[] ShownToPages =
        [RequestId.Header, "x-llmgateway-model", "x-llmgateway-backend", "x-llmgateway-queue-ms", "x-llmgateway-attempts", "retry-after", "retry-after-ms"];

    /// <summary>The data plane.</summary>
    public static void UseDataPlane(this WebApplication app)
    {
        var options = app.Services.GetRequiredService<GatewayOptions>();
        app.UseTraces();
        app.UseHonestErrors(options);
        app.UseStrictFraming();
        app.UseHostGuard(new HostGuard(options.Gateway.Hosts, options.Gateway.CorsOrigins));
        if (options.Gateway.CorsOrigins.Count > 0)
        {
            app.UseCors(policy => policy.WithOrigins(OriginsOf(options.Gateway)).AllowAnyHeader().AllowAnyMethod().WithExposedHeaders(ShownToPages));
        }

        app.UseRouting();
        app.UseAdmission();
        app.UseKeys();
        app.UseNoUpgrades();
        app.MapModels();
        app.MapInference();
        app.MapUpstream();
    }

    /// <summary>The management plane.</summary>
    public static void UseManagementPlane(this WebApplication app, GatewayOptions options, ManagementToken token, BrowserSessions sessions, LiveCatalogue live)
    {
        app.UseHonestErrors(options);
        app.UseStrictFraming();
        app.UseHostGuard(new HostGuard(options.Management.Hosts, []));
        app.UseRouting();
        var gate = new ManagementGate(token, sessions, live, app.Services.GetRequiredService<ILoggerFactory>().CreateLogger<ManagementGate>());
        app.Use((context, next) => gate.InvokeAsync(context, next));
        app.MapLogin(sessions);
    }

    /// <summary>One span for each request, while somebody exports spans.</summary>
    private static void UseTraces(this WebApplication app) => app.Use((context, next) =>
    {
        var request = context.Request;
        return !IsHealth(request.Path) && Traces.StartRequest(request.Headers.TraceParent, request.Headers.TraceState) is { } span
            ? TraceAsync(context, next, span)
            : next(context);
    });

    private static async Task TraceAsync(HttpContext context, RequestDelegate next, Activity span)
    {
        using var ended = span;
        context.Features.Set(span);
        span.SetTag("http.request.method", context.Request.Method);
        await next(context);
        span.SetTag("http.response.status_code", context.Response.StatusCode);
        if (context.Response.StatusCode >= StatusCodes.Status500InternalServerError && span.GetTagItem("error.type") is null)
        {
            span.Fail(context.Response.StatusCode.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Gives each request its id, and every error the API's own shape.</summary>
    private static void UseHonestErrors(this WebApplication app, GatewayOptions options)
    {
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("LlmGateway.Gateway");
        var time = app.Services.GetService<TimeProvider>() ?? TimeProvider.System;
        app.Use(async (context, next) =>
        {
            context.Features.Set(new Arrival(time.GetTimestamp(), Activity.Current is null ? null : context.Features.Get<Activity>()));
            context.TraceIdentifier = RequestId.From(context.Request.Headers[RequestId.Header]);
            context.Response.Headers[RequestId.Header] = context.TraceIdentifier;
            ClosingConnection.EndWith(context);
            using var scope = options.Gateway.LogFormat == LogFormat.Json ? Log.ForRequest(logger, context.TraceIdentifier) : null;
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
                // What Kestrel finds wrong with a body while it is read: its framing, or its pace.
                await WriteAsync(context, e.StatusCode == StatusCodes.Status408RequestTimeout ? ApiErrors.RequestTimeout : ApiErrors.MalformedBody);
            }
            catch (Exception e) when (!context.Response.HasStarted)
            {
                Log.RequestFailed(logger, context.TraceIdentifier, e);
                context.Response.Clear();
                await WriteAsync(context, ApiErrors.Internal);
            }

            // What routing and binding refuse has a status and no words.
            if (context.Response is { HasStarted: false, ContentLength: null, ContentType: null, StatusCode: var status } && OfStatus(status) is { } wordless)
            {
                await RefuseAsync(context, wordless);
            }
        });

        static Task WriteAsync(HttpContext context, ApiError error) =>
            ApiErrorWriter.WriteAsync(context, error, ApiErrorWriter.DialectOf(context.Request.Path), context.TraceIdentifier);
    }

    private static ApiError? OfStatus(int status) => status switch
    {
        StatusCodes.Status400BadRequest => ApiErrors.InvalidQuery,
        StatusCodes.Status404NotFound => ApiErrors.UnknownEndpoint,
        StatusCodes.Status405MethodNotAllowed => ApiErrors.MethodNotAllowed,
        _ => null,
    };

    /// <summary>Says no before an endpoint is known. The data listener counts it; the management listener has no such numbers.</summary>
    private static Task RefuseAsync(HttpContext context, ApiError error)
    {
        context.RequestServices.GetService<RequestMetrics>()?.Ended(RequestMetrics.NoModel, "none", error.Status, RequestMetrics.OutcomeOf(error));
        return new ApiErrorResult(error).ExecuteAsync(context);
    }

    private static void UseStrictFraming(this WebApplication app) => app.Use((context, next) =>
    {
        var headers = context.Request.Headers;
        if (RequestFraming.Check(context.Request.Protocol, headers.TransferEncoding, headers[RequestFraming.RenamedLength]) is not { } refusal)
        {
            return next(context);
        }

        context.Response.Headers.Connection = "close";
        return RefuseAsync(context, refusal);
    });

    private static void UseHostGuard(this WebApplication app, HostGuard guard) => app.Use((context, next) =>
    {
        var headers = context.Request.Headers;
        var refusal = guard.Check(
            context.Request.Host,
            headers.Origin.ToString(),
            headers["Sec-Fetch-Site"].ToString(),
            context.Connection.LocalIpAddress,
            checkHost: !IsOpenToAnyHost(context.Request.Path.Value));
        return refusal is null ? next(context) : RefuseAsync(context, refusal);
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

                await RefuseAsync(context, refusal);
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
        var failed = app.Services.GetRequiredService<FailedAttempts>();
        var callers = new ConditionalWeakTable<ApiKey, Caller>();
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("LlmGateway.Gateway");
        app.Use((context, next) =>
        {
            if (ring.IsRequired && !IsHealth(context.Request.Path))
            {
                var (authorization, apiKey) = (context.Request.Headers.Authorization, context.Request.Headers["x-api-key"]);
                if (ring.Find(authorization, apiKey) is not { } key)
                {
                    // None at all is a mistake, not a guess.
                    var isGuess = authorization.Count + apiKey.Count > 0;
                    return RefuseAsync(context, isGuess ? Damped(failed, context, logger) : ApiErrors.InvalidKey);
                }

                context.Features.GetRequiredFeature<Arrival>().Caller = callers.GetValue(key, CallerOf);
            }

            return next(context);
        });
    }

    private static Caller CallerOf(ApiKey key) =>
        new(key.Name, key.Options.Priority, key.Options.Priority, key.Allows) { Weight = key.Options.Weight, IsAdmin = key.Options.Admin };

    private static ApiError Damped(FailedAttempts failed, HttpContext context, ILogger logger)
    {
        if (failed.Count(context.Connection.RemoteIpAddress) is not { } damped)
        {
            return ApiErrors.InvalidKey;
        }

        if (damped.IsFirst)
        {
            Log.KeysAreGuessed(logger, context.Connection.RemoteIpAddress?.ToString() ?? "a local socket");
        }

        return ApiErrors.TooManyWrongKeys(damped.Wait);
    }

    /// <summary>Says so where another protocol is asked for. The h2c offer that some clients make with their first request means nothing and passes.</summary>
    private static void UseNoUpgrades(this WebApplication app) => app.Use((context, next) =>
    {
        var isAsked = context.Request.Headers.Upgrade.ToString() is { Length: > 0 } protocol && !protocol.Equals("h2c", StringComparison.OrdinalIgnoreCase);
        return isAsked || (!HttpProtocol.IsHttp11(context.Request.Protocol) && context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true }) ? RefuseAsync(context, ApiErrors.UpgradeNotOffered) : next(context);
    });

    private static void MapModels(this WebApplication app)
    {
        var services = app.Services;
        var lifecycle = services.GetRequiredService<Lifecycle>();
        string[] read = [HttpMethods.Get, HttpMethods.Head];
        app.MapMethods("/health", read, () =>
            lifecycle.CanTakeWork && !lifecycle.IsDraining ? Results.Json(new { status = "ok" }) : Results.Json(new { status = "unavailable" }, statusCode: 503));

        var list = new ModelList(services.GetRequiredService<LiveCatalogue>(), services.GetRequiredService<BackendRegistry>(), lifecycle.StartedAt);
        foreach (var path in new[] { "/v1/models", "/models" })
        {
            app.MapMethods(path, read, (HttpContext context) => list.All(context.GetCaller()));
            app.MapMethods(path + "/{**id}", read, (HttpContext context, string id) => list.One(context.GetCaller(), Uri.UnescapeDataString(id)));
        }
    }

    private static void MapInference(this WebApplication app)
    {
        var inference = app.Services.GetRequiredService<InferenceCalls>();
        foreach (var endpoint in InferenceEndpoint.All)
        {
            foreach (var path in endpoint.Paths)
            {
                app.MapPost(path, context => inference.AnswerAsync(context, endpoint, path));
            }
        }
    }

    /// <summary>The rest of a backend, for administrators.</summary>
    private static void MapUpstream(this WebApplication app)
    {
        var live = app.Services.GetRequiredService<LiveCatalogue>();
        var relay = app.Services.GetRequiredService<UpstreamRelay>();
        var inference = app.Services.GetRequiredService<InferenceCalls>();
        app.Map("/upstream/{**rest}", (HttpContext context, string? rest) =>
        {
            var caller = context.GetCaller();
            if (!caller.IsAdmin)
            {
                return RefuseAsync(context, live.Options.Keys.Any(key => key.Admin) ? ApiErrors.AdminKeyNeeded : ApiErrors.AdminKeyMissing);
            }

            var (call, error) = UpstreamCall.Parse(rest ?? "", context.Request.Method, live.Current.Find);
            error ??= caller.Allows(call!.Model) ? null : ApiErrors.ModelNotAllowed(call.Model.Name);
            return error is not null ? RefuseAsync(context, error)
                : call!.Endpoint is { } endpoint ? inference.AnswerAsync(context, endpoint, call.Path, call.Model)
                : relay.RelayAsync(context, call);
        });
    }

    /// <summary>One star says it all, and only alone does it mean that.</summary>
    private static string[] OriginsOf(DataPlaneOptions options) => options.CorsOrigins.Contains("*") ? ["*"] : [.. options.CorsOrigins];

    private static Caller GetCaller(this HttpContext context) => context.Features.GetRequiredFeature<Arrival>().Caller;

    private static bool IsOpenToAnyHost(string? path) => path?.Length <= LongestOpen && OpenToAnyHost.Contains(path, StringComparer.OrdinalIgnoreCase);

    private static bool IsHealth(PathString path) => path.Equals("/health", StringComparison.OrdinalIgnoreCase);
}
