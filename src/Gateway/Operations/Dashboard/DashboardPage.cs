namespace LlmGateway.Gateway.Operations.Dashboard;

/// <summary>The dashboard: one page that fetches all it shows from <c>/api/</c>.</summary>
internal static class DashboardPage
{
    /// <summary>In the order in which they need each other.</summary>
    public static readonly string[] Modules =
        ["format.js", "attention.js", "dom.js", "charts.js", "feed.js", "commands.js", "models.js", "replica.js", "panels.js", "main.js"];

    private static readonly PageText Page = PageText.Load("dashboard.html", "dashboard.css", Modules);

    public static Task WriteAsync(HttpContext context) => Page.WriteAsync(context);
}
