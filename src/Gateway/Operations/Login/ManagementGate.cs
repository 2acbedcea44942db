using System.Collections.Frozen;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Operations.Login;

/// <summary>Who gives a command.</summary>
/// <param name="By"><c>token</c> or <c>browser</c>.</param>
/// <param name="From">The address that they come from.</param>
internal sealed record Operator(string By, string From)
{
    public override string ToString() => $"{By} from {From}";
}

/// <summary>The door of the management listener: lets in who has the token or a session, keeps commands out where there are to be none, and notes each.</summary>
internal sealed class ManagementGate(ManagementToken token, BrowserSessions sessions, LiveCatalogue live, ILogger logger)
{
    /// <summary>The header that a page of ours sends with a command.</summary>
    public const string ForgeryHeader = "x-llmgateway-csrf";

    private const string Login = "/login";
    private const string Logout = "/logout";
    private const string LoginLinks = "/api/login-links";

    private static readonly FrozenSet<string> Open = new[] { "/healthz", "/readyz", "/metrics" }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        if (Open.Contains(request.Path.Value ?? "") || request.Path.Equals(Login, StringComparison.OrdinalIgnoreCase))
        {
            await next(context);
            return;
        }

        var isRead = HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method);
        if (Refusal(context, isRead) is { } refusal)
        {
            Audit(context, isRead, refusal.Status);
            await RefuseAsync(context, refusal);
            return;
        }

        await next(context);
        Audit(context, isRead, context.Response.StatusCode);
    }

    /// <summary>The name of the session's cookie. Cookies know no ports, so the name holds it: two gateways on one machine must not log each other out.</summary>
    public static string CookieName(HttpContext context) => $"llmgateway-{context.Connection.LocalPort}";

    private ApiError? Refusal(HttpContext context, bool isRead)
    {
        var from = context.Connection.RemoteIpAddress?.ToString() ?? "unknown";
        if (token.Accepts(context.Request.Headers.Authorization.ToString()))
        {
            context.Features.Set(new Operator("token", from));
        }
        else if (sessions.Check(context.Request.Cookies[CookieName(context)]) is { } secret)
        {
            if (!isRead && !BrowserSessions.Matches(secret, context.Request.Headers[ForgeryHeader].ToString()))
            {
                return new ApiError(403, "forgery_suspected", $"A command from a browser needs the page's own {ForgeryHeader}.");
            }

            context.Features.Set(new Operator("browser", from));
            context.Features.Set(new BrowserSession(secret));
        }
        else
        {
            return new ApiError(401, "invalid_token", $"This needs the management token as 'Authorization: Bearer …'; it is in {token.Path}.");
        }

        return !isRead && live.Options.Management.ReadOnly && !IsLogin(context.Request.Path)
            ? new ApiError(403, "read_only", "Commands are switched off (Management:ReadOnly).")
            : null;
    }

    private static bool IsLogin(PathString path) =>
        path.Equals(Logout, StringComparison.OrdinalIgnoreCase) || path.Equals(LoginLinks, StringComparison.OrdinalIgnoreCase);

    private static async Task RefuseAsync(HttpContext context, ApiError refusal)
    {
        if (refusal.Status == StatusCodes.Status401Unauthorized)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            if (HttpMethods.IsGet(context.Request.Method) && context.Request.Path == "/" && context.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase))
            {
                await LoginPage.WriteAsync(context, StatusCodes.Status401Unauthorized, null);
                return;
            }
        }

        await new ApiErrorResult(refusal).ExecuteAsync(context);
    }

    private void Audit(HttpContext context, bool isRead, int status)
    {
        if (!isRead)
        {
            var path = context.Request.Path.ToUriComponent();
            Log.Audited(
                logger, context.Request.Method, path.Length > 256 ? path[..256] : path, context.Features.Get<Operator>()?.By ?? "nobody",
                context.Connection.RemoteIpAddress?.ToString() ?? "unknown", status, context.TraceIdentifier);
        }
    }
}

/// <summary>The session that a request belongs to.</summary>
/// <param name="ForgerySecret">What a command of it must carry.</param>
internal sealed record BrowserSession(string ForgerySecret);
