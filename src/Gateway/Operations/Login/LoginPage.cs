using LlmGateway.Gateway.Operations.Dashboard;

namespace LlmGateway.Gateway.Operations.Login;

/// <summary>The page that asks for the token, and the routes that make a session of it.</summary>
internal static class LoginPage
{
    private static readonly PageText Page = PageText.Load("login.html", "login.css");

    public static Task WriteAsync(HttpContext context, int status, string? problem)
    {
        context.Response.StatusCode = status;
        return Page.WriteAsync(context, text => text.Replace("<!-- problem -->", problem is null ? "" : $"<p role=\"alert\">{problem}</p>", StringComparison.Ordinal));
    }

    public static void MapLogin(this IEndpointRouteBuilder endpoints, BrowserSessions sessions)
    {
        endpoints.MapGet("/login", (HttpContext context, string? code) => code is null
            ? WriteAsync(context, StatusCodes.Status200OK, null)
            : EnterAsync(context, sessions.Redeem(code), "This link has been used, or is too old. <code>llm-gateway dashboard</code> prints a new one."));
        endpoints.MapPost("/login", async (HttpContext context) =>
        {
            var form = context.Request.HasFormContentType ? await context.Request.ReadFormAsync(context.RequestAborted) : FormCollection.Empty;
            await EnterAsync(context, sessions.RedeemToken(form["token"].ToString().Trim()), "That is not this gateway's token.");
        });
        endpoints.MapPost("/logout", (HttpContext context) =>
        {
            context.Response.Cookies.Delete(ManagementGate.CookieName(context));
            return Results.NoContent();
        });
        endpoints.MapPost("/api/login-links", (HttpContext context) =>
            Results.Json(new { url = $"{context.Request.Scheme}://{context.Request.Host}{context.Request.PathBase}/login?code={sessions.NewCode()}" }));
        endpoints.MapGet("/api/session", (HttpContext context) =>
            Results.Json(new { csrf = context.Features.Get<BrowserSession>()?.ForgerySecret, StatusReport.Version }));
    }

    private static Task EnterAsync(HttpContext context, string? cookie, string problem)
    {
        if (cookie is null)
        {
            return WriteAsync(context, StatusCodes.Status401Unauthorized, problem);
        }

        context.Response.Cookies.Append(ManagementGate.CookieName(context), cookie, new CookieOptions
        {
            HttpOnly = true,
            SameSite = SameSiteMode.Strict,
            Secure = context.Request.IsHttps,
            MaxAge = BrowserSessions.Lifetime,
        });

        context.Response.Redirect("./");
        return Task.CompletedTask;
    }
}
