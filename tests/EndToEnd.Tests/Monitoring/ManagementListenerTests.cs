using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.Monitoring;

public sealed class MonitoredGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Gateway = await GatewayProcess.StartAsync(
            """{ "Gateway": { "LogFormat": "json" }, "Models": { "demo": { "Kind": "simulator" } } }""", TestContext.Current.CancellationToken);
        await Gateway.UntilReadyAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (Gateway is not null)
        {
            await Gateway.DisposeAsync();
        }
    }
}

/// <summary>What monitoring relies on: methods, limits, the commands of the page about it, and logs that machines read.</summary>
public sealed class ManagementListenerTests(MonitoredGateway monitored) : IClassFixture<MonitoredGateway>
{
    private const int Limit = 60_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => monitored.Gateway;

    [Theory(Timeout = Limit)]
    [InlineData("healthz")]
    [InlineData("readyz")]
    [InlineData("metrics")]
    public async Task OpenPaths_OtherMethodsThanGetAndHead_Are405(string path)
    {
        foreach (var method in new[] { HttpMethod.Post, HttpMethod.Put, HttpMethod.Delete, HttpMethod.Patch })
        {
            using var request = new HttpRequestMessage(method, path);
            using var response = await Gateway.Management.SendAsync(request, Ct);
            Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
            Assert.Contains("GET", response.Content.Headers.Allow);
        }

        using var head = new HttpRequestMessage(HttpMethod.Head, path);
        using var answer = await Gateway.Management.SendAsync(head, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Theory(Timeout = Limit)]
    [InlineData("GET /api/sta")]
    [InlineData("GET /healthz HTTP/1.1\r\nHost: ")]
    [InlineData("GET /hea")]
    public async Task Headers_ThatDoNotEnd_AreNotWaitedFor(string start)
    {
        using var client = await ConnectAsync(start);
        var since = Stopwatch.GetTimestamp();
        await ReadToEndAsync(client);
        Assert.InRange(Stopwatch.GetElapsedTime(since), TimeSpan.Zero, TimeSpan.FromSeconds(9));
    }

    [Fact(Timeout = Limit)]
    public async Task Headers_TooLarge_Are431()
    {
        using var client = await ConnectAsync($"GET /api/status HTTP/1.1\r\nHost: {Gateway.ManagementUrl.Authority}\r\nx-large: {new string('a', 40 * 1024)}\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 431", await ReadToEndAsync(client), StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Health_ByteByByte_IsAnswered()
    {
        using var client = await ConnectAsync("");
        foreach (var one in "GET /healthz HTTP/1.1\r\nHost: anybody\r\n\r\n")
        {
            await client.GetStream().WriteAsync(new[] { (byte)one }, Ct);
        }

        Assert.EndsWith("\r\n\r\nok", await ReadToEndAsync(client), StringComparison.Ordinal);
    }

    // Two requests on one connection, and whatever else is not plain, are the web server's business, and answered by it.
    [Fact(Timeout = Limit)]
    public async Task Health_Pipelined_IsAnsweredTwice()
    {
        const string Get = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n";
        using var client = await ConnectAsync($"{Get}\r\n{Get}Connection: close\r\n\r\n");
        var text = await ReadToEndAsync(client);
        Assert.Equal(3, text.Split("HTTP/1.1 200").Length);
    }

    [Fact(Timeout = Limit)]
    public async Task Page_QuickStart_Works()
    {
        var page = await File.ReadAllTextAsync(Path.Combine(RepositoryPaths.Root, "docs", "monitoring.md"), Ct);
        var commands = page.Split("## Quick start")[1].Split("```sh\n")[1].Split("```")[0].Replace("127.0.0.1:9090", Gateway.ManagementUrl.Authority, StringComparison.Ordinal);

        await using var shell = ChildProcess.Start("/bin/bash", ["-o", "pipefail", "-e", "-c", commands.Replace("\ncurl", "\necho\ncurl", StringComparison.Ordinal)]);
        Assert.True(await shell.WaitForExitAsync(Ct) == 0, shell.Output);
        await shell.WaitForOutputAsync(Ct);

        var lines = shell.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["ok", "ready"], lines[..2]);
        Assert.InRange(int.Parse(lines[2], System.Globalization.CultureInfo.InvariantCulture), 100, 10_000);
        Assert.Equal("llmgateway_backend_state{backend=\"demo/0\",state=\"ready\"} 1", lines[3]);
        Assert.Equal("# EOF", lines[^1]);
    }

    [Fact(Timeout = Limit)]
    public async Task Log_AsJson_CarriesTraceAndRequestIdAndNoPrompt()
    {
        const string TraceId = "0af7651916cd43dd8448eb211c80319c";
        var simulator = new SimulatorControl((await Gateway.StatusAsync(Ct)).Replica("demo/0").Address!);
        await simulator.SetFaultsAsync(new { dropAfterTokens = 20, dropBy = "close" }, Ct);
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions") { Content = System.Net.Http.Json.JsonContent.Create(Conversation.ChatBody("demo", 60, stream: true)) };
        request.Headers.Add("traceparent", $"00-{TraceId}-b7ad6b7169203331-01");
        request.Headers.Add("x-request-id", "logged-as-json");
        using (var answer = new StreamedAnswer(await Gateway.Data.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Ct)))
        {
            await answer.ReadToEndAsync(Ct);
        }

        await simulator.ClearFaultsAsync(Ct);
        await Eventually.TrueAsync(() => Gateway.Output.Contains("logged-as-json", StringComparison.Ordinal), "the broken stream to be logged", Ct);
        var line = JsonNode.Parse(Gateway.Output.Split('\n').First(line => line.Contains("logged-as-json", StringComparison.Ordinal)))!;
        var scopes = line["Scopes"]!.AsArray();
        Assert.Contains(scopes, scope => (string?)scope!["TraceId"] == TraceId);
        Assert.Contains(scopes, scope => (string?)scope!["RequestId"] == "logged-as-json");
        Assert.DoesNotContain("the water and the light", Gateway.Output, StringComparison.Ordinal);
    }

    private async Task<TcpClient> ConnectAsync(string text)
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(Gateway.ManagementUrl.Host, Gateway.ManagementUrl.Port, Ct);
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text), Ct);
        return client;
    }

    private static async Task<string> ReadToEndAsync(TcpClient client)
    {
        using var reader = new StreamReader(client.GetStream(), Encoding.ASCII);
        try
        {
            return await reader.ReadToEndAsync(Ct);
        }
        catch (IOException)
        {
            return ""; // reset: closed all the same
        }
    }
}
