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
        var before = await UntilAsync(gateway, lines => Of(lines, "health_check_duration_seconds_count") == 1);

        await ReloadAsync(gateway, many.ToJsonString());
        var during = await UntilAsync(gateway, lines => Of(lines, "health_check_duration_seconds_count") == Many + 1);
        Assert.Equal(Many + 1, Of(during, "breaker_state"));
        Assert.DoesNotContain(during, line => line.Contains("otel_metric_overflow", StringComparison.Ordinal));
        TestContext.Current.TestOutputHelper?.WriteLine($"{during.Length} lines; {await TimesAsync(gateway, "metrics")}; {await TimesAsync(gateway, "api/status")}");

        await ReloadAsync(gateway, One);

        // The reloads are counted, too; else the lines are those from before.
        var after = await UntilAsync(gateway, lines => Own(lines).SetEquals(Own(before)));
        Assert.Equal(before.Count(IsOwn), after.Count(IsOwn));
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

    private static bool IsOwn(string line) => line.StartsWith("llmgateway_", StringComparison.Ordinal) && !line.Contains("reload", StringComparison.Ordinal);

    private static HashSet<string> Own(string[] lines) => [.. lines.Where(IsOwn).Select(line => line[..line.LastIndexOf(' ')])];

    private static Task<string[]> UntilAsync(GatewayProcess gateway, Func<string[], bool> condition) =>
        Eventually.GetAsync(() => LinesAsync(gateway), condition, "the scrape to be as expected", Ct, TimeSpan.FromSeconds(60));

    private static async Task<string[]> LinesAsync(GatewayProcess gateway) =>
        [.. (await gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct)).Split('\n').Where(line => line.Length > 0 && line[0] != '#')];
}
