using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Monitoring;

/// <summary>A thousand backends that come and go by reloads: nothing overflows, and nothing of them stays.</summary>
public sealed class ManyBackendsTests
{
    private const int Many = 1000;
    private const string One = """{ "Models": { "demo": { "Kind": "simulator" } } }""";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 240_000)]
    public async Task Reload_WithAThousandBackendsAndWithoutThem_LeavesTheScrapeAsItWas()
    {
        // Nobody listens there: that they are not ready is all that is to be known of them.
        using var nobody = new Socket(SocketType.Stream, ProtocolType.Tcp);
        nobody.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var url = $"http://127.0.0.1:{((IPEndPoint)nobody.LocalEndPoint!).Port}";
        var many = JsonNode.Parse(One)!;
        many["Models"]!["far"] = new JsonObject
        {
            ["Kind"] = "remote",
            ["Remotes"] = new JsonArray([.. Enumerable.Range(0, Many).Select(_ => new JsonObject { ["Url"] = url, ["Slots"] = 4 })]),
            ["Probes"] = new JsonObject { ["Readiness"] = new JsonObject { ["Period"] = "5m" } },
        };

        await using var gateway = await GatewayProcess.StartAsync(One, Ct);
        await gateway.UntilReadyAsync(Ct);
        await ComeAndGoAsync(gateway, many.ToJsonString());
        var before = await UntilAsync(gateway, lines => !lines.Any(IsOfTheMany)); // what is counted by kinds is there from now on

        var during = await ComeAndGoAsync(gateway, many.ToJsonString());
        Assert.Equal(Many + 1, Of(during, "breaker_state"));
        Assert.DoesNotContain(during, line => line.Contains("otel_metric_overflow", StringComparison.Ordinal));
        var after = await UntilAsync(gateway, lines => !lines.Any(IsOfTheMany));
        Assert.Equal(before.Where(IsOwn).Select(Series).Order(), after.Where(IsOwn).Select(Series).Order());
    }

    private static async Task<string[]> ComeAndGoAsync(GatewayProcess gateway, string many)
    {
        await ReloadAsync(gateway, many);
        var lines = await UntilAsync(gateway, lines => Of(lines, "health_check_duration_seconds_count") == Many + 1);
        TestContext.Current.TestOutputHelper?.WriteLine($"{lines.Length} lines; {await TimesAsync(gateway, "metrics")}; {await TimesAsync(gateway, "api/status")}");
        await ReloadAsync(gateway, One);
        return lines;
    }

    /// <summary>For whoever reads the output: how long such an answer takes.</summary>
    private static async Task<string> TimesAsync(GatewayProcess gateway, string path)
    {
        var taken = new List<double>();
        using var apart = new PeriodicTimer(TimeSpan.FromMilliseconds(400)); // an answer is kept for 300 ms
        while (taken.Count < 11 && await apart.WaitForNextTickAsync(Ct))
        {
            var since = Stopwatch.GetTimestamp();
            await gateway.Management.GetByteArrayAsync(new Uri(path, UriKind.Relative), Ct);
            taken.Add(Stopwatch.GetElapsedTime(since).TotalMilliseconds);
        }

        taken.Sort();
        return $"{path} {taken[0]:0} ms at best, {taken[taken.Count / 2]:0} ms in the middle, {taken[^1]:0} ms at most";
    }

    private static async Task ReloadAsync(GatewayProcess gateway, string configuration)
    {
        gateway.Configure(configuration);
        using var response = await gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct);
        Assert.True(response.StatusCode == HttpStatusCode.OK, await response.Content.ReadAsStringAsync(Ct));
    }

    private static int Of(string[] lines, string name) => lines.Count(line => line.StartsWith($"llmgateway_{name}{{", StringComparison.Ordinal));

    private static bool IsOwn(string line) => line.StartsWith("llmgateway_", StringComparison.Ordinal);

    private static bool IsOfTheMany(string line) => line.Contains("=\"far", StringComparison.Ordinal);

    private static string Series(string line) => line[..line.LastIndexOf(' ')];

    private static Task<string[]> UntilAsync(GatewayProcess gateway, Func<string[], bool> condition) =>
        Eventually.GetAsync(() => LinesAsync(gateway), condition, "the scrape to be as expected", Ct, TimeSpan.FromSeconds(60));

    private static async Task<string[]> LinesAsync(GatewayProcess gateway) =>
        [.. (await gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct)).Split('\n').Where(line => line.Length > 0 && line[0] != '#')];
}
