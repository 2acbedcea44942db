using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace LlmGateway.Gateway.Operations.Dashboard;

/// <summary>One self-contained page, put together once from the files of this folder: its styles and its modules stand in it, and the policy allows nothing else.</summary>
internal sealed partial class PageText
{
    private readonly string _html;
    private readonly string _policy;

    private PageText(string html, string style, string script)
    {
        _html = html
            .Replace("<!-- style -->", $"<style>{style}</style>", StringComparison.Ordinal)
            .Replace("<!-- script -->", script.Length == 0 ? "" : $"<script type=\"module\">{script}</script>", StringComparison.Ordinal);
        _policy =
            $"default-src 'none'; style-src '{Hash(style)}'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self'"
            + (script.Length == 0 ? "" : $"; script-src '{Hash(script)}'");
    }

    /// <summary>Reads a page with its style and its modules, given in the order in which they need each other.</summary>
    public static PageText Load(string html, string style, params string[] modules) =>
        new(Read(html), Read(style), Link(modules.Select(Read)));

    /// <summary>Makes one module of several: what they import from each other is there already, so only the words for it go.</summary>
    /// <remarks>Their top-level names share one scope; a test sees to it that none is taken twice.</remarks>
    public static string Link(IEnumerable<string> modules) =>
        string.Concat(modules.Select(module => Export().Replace(Import().Replace(module, ""), "")));

    public Task WriteAsync(HttpContext context, Func<string, string>? change = null)
    {
        var body = Encoding.UTF8.GetBytes(change?.Invoke(_html) ?? _html);
        var response = context.Response;
        response.ContentType = "text/html; charset=utf-8";
        response.ContentLength = body.Length;
        response.Headers.ContentSecurityPolicy = _policy;
        response.Headers.CacheControl = "no-store";

        // Not "no-referrer": a browser then says "Origin: null" with the login's form, as pages of others would.
        response.Headers["Referrer-Policy"] = "same-origin";
        response.Headers["Cross-Origin-Opener-Policy"] = "same-origin";
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }

    private static string Read(string name)
    {
        using var stream = typeof(PageText).Assembly.GetManifestResourceStream($"dashboard/{name}")
            ?? throw new InvalidOperationException($"The page's file {name} is not in the assembly.");
        using var reader = new StreamReader(stream);

        // As a browser reads it, which hashes what it has read.
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }

    private static string Hash(string text) => $"sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text)))}";

    [GeneratedRegex(@"^import\s[^;]*;\n", RegexOptions.Multiline)]
    private static partial Regex Import();

    [GeneratedRegex(@"^export (?=(async |)(const|let|class|function))", RegexOptions.Multiline)]
    private static partial Regex Export();
}
