using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Monitoring;

/// <summary>A real Prometheus scrapes a gateway under load: the format, the rules, every panel of the dashboards, and the page that describes the metrics.</summary>
public sealed partial class PrometheusTests
{
    private const int Limit = 240_000;

    /// <summary>What a machine without a GPU, or a kernel without pressure stall information, can't show.</summary>
    private static readonly string[] AbsentHere = ["llmgateway_gpu_", "llmgateway_host_pressure"];

    private static readonly string Config = Path.Combine(RepositoryPaths.Root, "config");

    /// <summary>Folder of <c>prometheus</c> and <c>promtool</c>, as <c>test.sh</c> names it.</summary>
    private static readonly string? Programs = Environment.GetEnvironmentVariable("LLMGATEWAY_PROMETHEUS");

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory(Timeout = Limit)]
    [InlineData("check", "config", "prometheus.yml")]
    [InlineData("check", "rules", "rules.yml")]
    [InlineData("test", "rules", "rules.test.yml")]
    public async Task Promtool_OfTheFilesInConfig_FindsThemRight(params string[] arguments)
    {
        SkipWithoutPrometheus();
        await using var promtool = ChildProcess.Start(Program("promtool"), arguments, null, Path.Combine(Config, "prometheus"));
        Assert.True(await promtool.WaitForExitAsync(Ct) == 0, promtool.Output);
    }

    [Fact(Timeout = Limit)]
    public async Task Prometheus_OfAGatewayUnderLoad_AnswersEveryPanelAndEveryRule()
    {
        SkipWithoutPrometheus();
        using var folder = new TemporaryFolder();
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 2, "MemoryBytes": "64MiB", "Args": ["--sim-token-rate", "200", "--metrics"], "Restart": { "InitialBackoff": "200ms" } },
                "full": { "Kind": "simulator", "Slots": 1, "Queue": { "MaxDepth": 0 } } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        await using var prometheus = await StartAsync(folder, gateway.ManagementUrl);
        using var client = new HttpClient { BaseAddress = await AddressAsync(prometheus) };
        await Eventually.TrueAsync(async () => (await client.GetAsync(new Uri("-/ready", UriKind.Relative), Ct)).IsSuccessStatusCode, "a Prometheus that is ready", Ct);

        // Load with a bit of everything, for as long as the data takes to come.
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var load = Task.WhenAll(Enumerable.Range(0, 8).Select(i => LoadAsync(gateway, i, enough.Token)));
        await UntilAsync(client, "sum(rate(llmgateway_requests_total[5s])) > 0");
        KillOne(await gateway.StatusAsync(Ct));
        await UntilAsync(client, "sum(increase(llmgateway_process_restarts_total[1m])) > 0");
        await UntilAsync(client, "sum(rate(llmgateway_llamacpp_tokens_predicted_total[5s])) > 0");
        await UntilAsync(client, "count_over_time(up{job=\"llm-gateway\"}[2m]) >= 60", TimeSpan.FromSeconds(90));

        var empty = new List<string>();
        foreach (var (where, expression) in Panels().Concat(Rules()))
        {
            var answer = await QueryAsync(client, expression);
            if (answer.Count == 0 && where.IsPanel && !AbsentHere.Any(name => expression.Contains(name, StringComparison.Ordinal)))
            {
                empty.Add($"{where.Name}: {expression}");
            }
        }

        Assert.True(empty.Count == 0, $"These show nothing:\n{string.Join('\n', empty)}");
        Assert.Empty(await QueryAsync(client, "count by (__name__) ({otel_metric_overflow=\"true\"})"));
        Assert.Single(await QueryAsync(client, "min_over_time(up{job=\"llm-gateway\"}[2m]) == 1"));
        await enough.CancelAsync();
        await load;

        await CheckTextAsync(gateway, folder);
        await CheckPageAsync(gateway);
    }

    /// <summary><c>promtool check metrics</c> has nothing to say, and every metric that a rule names exists.</summary>
    private static async Task CheckTextAsync(GatewayProcess gateway, TemporaryFolder folder)
    {
        var text = await gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct);
        var file = Path.Combine(folder.Path, "scrape.txt");
        await File.WriteAllTextAsync(file, text, Ct);
        await using var promtool = ChildProcess.Start("/bin/sh", ["-c", $"'{Program("promtool")}' check metrics < '{file}'"]);
        Assert.True(await promtool.WaitForExitAsync(Ct) == 0, promtool.Output);
        await promtool.WaitForOutputAsync(Ct);
        Assert.Empty(promtool.Output);

        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri("metrics", UriKind.Relative)) { Headers = { { "Accept", "application/openmetrics-text; version=1.0.0" } } };
        using var response = await gateway.Management.SendAsync(request, Ct);
        Assert.Equal("application/openmetrics-text", response.Content.Headers.ContentType?.MediaType);
        Assert.EndsWith("# EOF\n", await response.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);

        var names = Families(text).Select(family => family.Name).ToHashSet();
        var unknown = Rules().SelectMany(rule => MetricName().Matches(rule.Expression).Select(match => Family(match.Value))).Where(name => !names.Contains(name) && !IsAbsentHere(name)).Distinct().ToList();
        Assert.True(unknown.Count == 0, $"The rules name metrics that do not exist: {string.Join(", ", unknown)}");
    }

    /// <summary>docs/monitoring.md lists exactly what is there, with its type and labels.</summary>
    private static async Task CheckPageAsync(GatewayProcess gateway)
    {
        var text = await gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct);
        var page = await File.ReadAllLinesAsync(Path.Combine(RepositoryPaths.Root, "docs", "monitoring.md"), Ct);
        var rows = page.Select(line => line.Split('|', StringSplitOptions.TrimEntries)).Where(cells => cells.Length > 4 && MetricRow().IsMatch(cells[1]))
            .Select(cells => (Name: cells[1].Trim('`'), Type: cells[2], Labels: cells[3].Trim('`'), IsOptional: cells[4].Contains("absent", StringComparison.OrdinalIgnoreCase))).ToList();
        Assert.Equal(rows.Count, rows.Select(row => row.Name).Distinct().Count());

        var live = Families(text).Where(family => family.Name.StartsWith("llmgateway_", StringComparison.Ordinal) || family.Name.StartsWith("process_", StringComparison.Ordinal)).ToList();
        var problems = live.Where(family => rows.All(row => row.Name != family.Name)).Select(family => $"{family.Name} ({family.Type}, {family.Labels}) is not on the page")
            .Concat(rows.Where(row => !row.IsOptional && !IsAbsentHere(row.Name) && live.All(family => family.Name != row.Name)).Select(row => $"{row.Name} is on the page and not in the scrape"))
            .Concat(from row in rows
                    from family in live
                    where row.Name == family.Name && (row.Type, row.Labels) != (family.Type, family.Labels)
                    select $"{row.Name} is a {family.Type} with the labels '{family.Labels}', not a {row.Type} with '{row.Labels}'")
            .ToList();
        Assert.True(problems.Count == 0, string.Join('\n', problems));
    }

    private static async Task<ChildProcess> StartAsync(TemporaryFolder folder, Uri target)
    {
        // The file in config/, but for the target and its pace.
        var source = Path.Combine(Config, "prometheus");
        File.Copy(Path.Combine(source, "rules.yml"), Path.Combine(folder.Path, "rules.yml"));
        var text = await File.ReadAllTextAsync(Path.Combine(source, "prometheus.yml"), Ct);
        await File.WriteAllTextAsync(
            Path.Combine(folder.Path, "prometheus.yml"),
            text.Replace("127.0.0.1:9090", target.Authority, StringComparison.Ordinal).Replace("15s", "1s", StringComparison.Ordinal),
            Ct);
        return ChildProcess.Start(
            Program("prometheus"),
            ["--config.file=prometheus.yml", $"--storage.tsdb.path={Path.Combine(folder.Path, "data")}", "--web.listen-address=127.0.0.1:0"],
            null,
            folder.Path);
    }

    private static async Task<Uri> AddressAsync(ChildProcess prometheus)
    {
        var line = await prometheus.WaitForLineAsync(line => line.Contains("Listening on", StringComparison.Ordinal), Ct, TimeSpan.FromSeconds(30));
        return new Uri($"http://{line.Split("address=")[1].Split(' ')[0]}");
    }

    private static async Task UntilAsync(HttpClient client, string expression, TimeSpan? within = null) =>
        await Eventually.TrueAsync(async () => (await QueryAsync(client, expression)).Count > 0, expression, Ct, within ?? TimeSpan.FromSeconds(60));

    private static async Task<JsonArray> QueryAsync(HttpClient client, string expression)
    {
        using var response = await client.GetAsync(new Uri($"api/v1/query?query={Uri.EscapeDataString(expression)}", UriKind.Relative), Ct);
        var json = JsonNode.Parse(await response.Content.ReadAsStringAsync(Ct))!;
        Assert.True((string)json["status"]! == "success", $"{expression}: {json["error"]}");
        return json["data"]!["result"]!.AsArray();
    }

    private static async Task LoadAsync(GatewayProcess gateway, int index, CancellationToken cancellationToken)
    {
        var model = index == 0 ? "full" : "demo";
        try
        {
            while (true)
            {
                await AskAsync(gateway.Data, model, index, cancellationToken);
            }
        }
        catch (Exception e) when (e is OperationCanceledException || cancellationToken.IsCancellationRequested)
        {
        }
    }

    private static async Task AskAsync(HttpClient client, string model, int index, CancellationToken cancellationToken)
    {
        try
        {
            using var answer = await client.StreamAsync(model, 20, cancellationToken);
            await answer.ReadAsync(index == 1 ? 3 : 1000, cancellationToken); // one of them leaves early
            using var second = await client.ChatAsync(model, 5, cancellationToken);
            if (index == 2)
            {
                using var wrong = await client.PostAsJsonAsync("v1/chat/completions", new { model = "nobody" }, cancellationToken);
            }
        }
        catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.ResponseEnded || e.InnerException is HttpIOException { HttpRequestError: HttpRequestError.ResponseEnded })
        {
            // A connection that the gateway has just closed behind a broken stream, as it says it does.
        }
    }

    private static void KillOne(GatewaySnapshot status)
    {
        using var process = System.Diagnostics.Process.GetProcessById(status.Replica("demo/0").Pid!.Value);
        process.Kill();
    }

    private static IEnumerable<((string Name, bool IsPanel) Where, string Expression)> Panels() =>
        from file in Directory.GetFiles(Path.Combine(Config, "grafana"), "*.json")
        from panel in JsonNode.Parse(File.ReadAllText(file))!["panels"]!.AsArray()
        from target in panel!["targets"]?.AsArray() ?? []
        let expression = (string)target!["expr"]!
        select (($"{Path.GetFileNameWithoutExtension(file)}: {panel["title"]}", true), Variable().Replace(expression, match => match.Value switch
        {
            "$__rate_interval" => "10s",
            _ => ".*",
        }));

    private static IEnumerable<((string Name, bool IsPanel) Where, string Expression)> Rules()
    {
        var lines = File.ReadAllLines(Path.Combine(Config, "prometheus", "rules.yml"));
        for (var i = 0; i < lines.Length; i++)
        {
            if (lines[i].TrimStart().StartsWith("expr:", StringComparison.Ordinal))
            {
                var text = lines[i].Split("expr:", 2)[1].Trim();
                if (text == "|")
                {
                    var indent = lines[i + 1].Length - lines[i + 1].TrimStart().Length;
                    text = string.Join(' ', lines.Skip(i + 1).TakeWhile(line => line.Length > indent && line[..indent].Trim().Length == 0).Select(line => line.Trim()));
                }

                yield return (($"rules.yml:{i + 1}", false), text);
            }
        }
    }

    /// <summary>The metrics of a scrape: name, type, and the labels of its series.</summary>
    private static IEnumerable<(string Name, string Type, string Labels)> Families(string text)
    {
        var lines = text.Split('\n');
        foreach (var line in lines.Where(line => line.StartsWith("# TYPE ", StringComparison.Ordinal)))
        {
            var (name, type) = (line.Split(' ')[2], line.Split(' ')[3]);
            var labels = lines.Where(series => Family(SeriesName().Match(series).Value) == name).SelectMany(series => LabelName().Matches(series).Select(match => match.Groups[1].Value))
                .Where(label => label != "le").Distinct().Order(StringComparer.Ordinal);
            yield return (name, type, string.Join(", ", labels));
        }
    }

    private static bool IsAbsentHere(string metric) => AbsentHere.Any(start => metric.StartsWith(start, StringComparison.Ordinal));

    private static string Family(string series) => HistogramSuffix().Replace(series, "");

    private static string Program(string name) => Path.Combine(Programs!, name);

    private static void SkipWithoutPrometheus() =>
        Assert.SkipUnless(Programs is not null && File.Exists(Program("prometheus")), "LLMGATEWAY_PROMETHEUS names no folder with prometheus and promtool: run ./test.sh");

    [GeneratedRegex(@"\$\w+")]
    private static partial Regex Variable();

    [GeneratedRegex(@"\bllmgateway_\w+")]
    private static partial Regex MetricName();

    [GeneratedRegex("^`(llmgateway|process)_[a-z0-9_]+`$")]
    private static partial Regex MetricRow();

    [GeneratedRegex(@"^[a-z]\w*")]
    private static partial Regex SeriesName();

    [GeneratedRegex(@"[{,](\w+)=""")]
    private static partial Regex LabelName();

    [GeneratedRegex("(?<=_seconds)_(bucket|sum|count)$")]
    private static partial Regex HistogramSuffix();
}
