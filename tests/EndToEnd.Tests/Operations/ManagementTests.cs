using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>The management listener of a gateway whose model's name needs escaping.</summary>
public sealed class ManagedGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Gateway = await GatewayProcess.StartAsync(
            """
            { "Models": { "org/model:q4": { "Kind": "simulator", "Replicas": 2, "Slots": 2, "MemoryBytes": "64MiB", "Args": ["--sim-token-rate", "50"], "Restart": { "InitialBackoff": "100ms" } } } }
            """,
            TestContext.Current.CancellationToken);
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

public sealed class ManagementTests(ManagedGateway managed) : IClassFixture<ManagedGateway>
{
    private const int Limit = 60_000;
    private const string Model = "org%2Fmodel:q4";

    private static readonly string[] GatewayFields =
    [
        "gateway.version", "gateway.startedAt", "gateway.uptimeSeconds", "gateway.draining", "gateway.config.path", "gateway.config.loadedAt", "gateway.config.errors", "keys", "models.0.name",
        "models.0.aliases", "models.0.state", "models.0.queue.depth", "models.0.queue.limit", "models.0.queue.bytes", "models.0.queue.oldestAgeSeconds", "models.0.queue.bands", "models.0.queue.keys",
        "gateway.process.pid", "gateway.process.cpuPercent", "gateway.process.residentBytes", "gateway.process.heapBytes", "gateway.process.threads", "gateway.process.poolThreads",
        "gateway.process.poolPending", "gateway.process.openStreams", "gateway.memory.budgetBytes", "gateway.memory.estimatedBytes", "gateway.readOnly",
    ];

    private static readonly string[] ReplicaFields =
    [
        "backend", "kind", "state", "pid", "address", "uptimeSeconds", "idleSeconds", "overdue", "cpuPercent", "residentBytes", "estimatedBytes", "slots.total", "slots.busy", "slots.quarantined", "breaker",
        "probes.startup", "probes.readiness", "probes.liveness", "restartsInWindow", "lastExit", "notRoutableBecause", "nextTryAt",
    ];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => managed.Gateway;

    [Theory(Timeout = Limit)]
    [InlineData("healthz")]
    [InlineData("readyz")]
    [InlineData("metrics")]
    [InlineData("api/status")]
    [InlineData("")]
    [InlineData("api/events")]
    [InlineData("api/live")]
    [InlineData("api/replicas/org%2Fmodel:q4/0/logs")]
    public async Task Read_OtherMethods_Are405WithAllow(string path)
    {
        foreach (var method in new[] { HttpMethod.Post, HttpMethod.Put, HttpMethod.Delete })
        {
            using var request = new HttpRequestMessage(method, path);
            using var response = await Gateway.Management.SendAsync(request, Ct);
            Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
            Assert.Contains("GET", response.Content.Headers.Allow);
        }

        using var head = await Gateway.Management.SendAsync(new HttpRequestMessage(HttpMethod.Head, path), HttpCompletionOption.ResponseHeadersRead, Ct);
        Assert.Equal(HttpStatusCode.OK, head.StatusCode);
    }

    [Theory(Timeout = Limit)]
    [InlineData("api/replicas/nope/0/restart", "unknown_replica")]
    [InlineData("api/replicas/org%2Fmodel:q4/7/restart", "unknown_replica")]
    [InlineData("api/replicas/org%2Fmodel:q4/0/explode", "unknown_endpoint")]
    [InlineData("api/models/org%2Fmodel:q4/explode", "unknown_endpoint")]
    [InlineData("api/models/nope/restart", "unknown_model")]
    [InlineData("api/requests/nope/cancel", "unknown_request")]
    [InlineData("api/nothing", "unknown_endpoint")]
    public async Task Command_OfWhatIsNotThere_Is404(string path, string code)
    {
        using var response = await Gateway.Management.PostAsync(new Uri(path, UriKind.Relative), null, Ct);
        await response.AssertErrorAsync(HttpStatusCode.NotFound, code, Ct);
    }

    [Theory(Timeout = Limit)]
    [InlineData("api/replicas/org%2Fmodel:q4/0/explode", HttpStatusCode.NotFound, "unknown_endpoint")]
    [InlineData("api/replicas/org%2Fmodel:q4/0/restart", HttpStatusCode.MethodNotAllowed, "method_not_allowed")]
    [InlineData("api/replicas/org%2Fmodel:q4/0/logs?tail=all", HttpStatusCode.BadRequest, "invalid_parameter")]
    [InlineData("debug/counters?seconds=ten", HttpStatusCode.BadRequest, "invalid_parameter")]
    public async Task Read_OfWhatIsNotThereOrAskedWrongly_SaysSo(string path, HttpStatusCode status, string code)
    {
        using var response = await Gateway.Management.GetAsync(new Uri(path, UriKind.Relative), Ct);
        await response.AssertErrorAsync(status, code, Ct);
    }

    [Theory(Timeout = Limit)]
    [InlineData(-1)]
    [InlineData(100_000)]
    public async Task Scale_ToWhatCantBe_IsRefusedAtOnce(int replicas)
    {
        using var response = await Gateway.Management.PostAsync(new Uri($"api/models/{Model}/scale/{replicas}", UriKind.Relative), null, Ct);
        await response.AssertErrorAsync(HttpStatusCode.Conflict, "not_done", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task GcHeap_OfAQuietGateway_IsThereInSeconds()
    {
        var heap = (await Gateway.Management.GetFromJsonAsync<JsonObject>(new Uri("debug/gcheap", UriKind.Relative), Ct).WaitAsync(TimeSpan.FromSeconds(20), Ct))!;
        Assert.InRange((long)heap["count"]!, 10_000, long.MaxValue);
    }

    [Fact(Timeout = Limit)]
    public async Task Restart_Waited_AnswersWhenTheNewProcessTakesWork()
    {
        var before = (await Gateway.UntilReadyAsync(Ct)).Replica("org/model:q4/0").Pid;
        using var response = await Gateway.Management.PostAsync(new Uri($"api/replicas/{Model}/0/restart?wait=true", UriKind.Relative), null, Ct);
        Assert.Equal("ready", (string?)(await response.JsonAsync(Ct))["state"]);
        var after = (await Gateway.StatusAsync(Ct)).Replica("org/model:q4/0");
        Assert.NotEqual(before, after.Pid);
        Assert.Equal(0, after.RestartsInWindow);

        // Who, what and how it went is in the log.
        await Gateway.Process.WaitForLineAsync(line => line.Contains($"Audit: POST /api/replicas/{Model}/0/restart by token from 127.0.0.1: 200", StringComparison.Ordinal), Ct);
        var events = await EventsAsync();
        Assert.Contains(events, one => (string?)one!["kind"] == "command" && ((string?)one["message"])!.Contains("restart of org/model:q4/0 was ordered by token from 127.0.0.1", StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task DrainAndResume_TakeTheReplicaOutAndIn()
    {
        await Gateway.UntilReadyAsync(Ct);
        using var drain = await Gateway.Management.PostAsync(new Uri($"api/replicas/{Model}/1/drain?wait=true", UriKind.Relative), null, Ct);
        Assert.Equal("draining", (string?)(await drain.JsonAsync(Ct))["state"]);
        using var resume = await Gateway.Management.PostAsync(new Uri($"api/replicas/{Model}/1/resume?wait=true", UriKind.Relative), null, Ct);
        Assert.Equal("ready", (string?)(await resume.JsonAsync(Ct))["state"]);
        using var later = await Gateway.Management.PostAsync(new Uri($"api/replicas/{Model}/1/reset", UriKind.Relative), null, Ct);
        Assert.Equal(HttpStatusCode.Accepted, later.StatusCode);
    }

    [Theory(Timeout = Limit)]
    [InlineData("", HttpStatusCode.Accepted)]
    [InlineData("?wait=true", HttpStatusCode.OK)]
    public async Task Requests_OneInFlight_IsListedWithoutTextAndCanBeCancelled(string query, HttpStatusCode expected)
    {
        const string Secret = "xyzzy-plugh-4712";
        var id = $"cancel-{(int)expected}";
        await Gateway.UntilReadyAsync(Ct);
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions")
        {
            Headers = { { "x-request-id", id } },
            Content = JsonContent.Create(new { model = "org/model:q4", stream = true, max_tokens = 5_000, messages = new[] { new { role = "user", content = Secret } } }),
        };
        using var stream = new StreamedAnswer(await Gateway.Data.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Ct));
        await stream.ReadAsync(3, Ct);

        var listed = (await RequestsAsync())["current"]!.AsArray().Single(one => (string?)one!["id"] == id)!;
        Assert.Equal(("running", "org/model:q4", "none", "chat_completions"), ((string?)listed["stage"], (string?)listed["model"], (string?)listed["key"], (string?)listed["endpoint"]));
        Assert.NotNull((double?)listed["firstTokenMs"]);

        using var cancelled = await Gateway.Management.PostAsync(new Uri($"api/requests/{id}/cancel{query}", UriKind.Relative), null, Ct);
        Assert.Equal(expected, cancelled.StatusCode);
        Assert.True(expected == HttpStatusCode.Accepted || (await RequestsAsync())["current"]!.AsArray().All(one => (string?)one!["id"] != id), "answered before it was done");
        await stream.ReadToEndAsync(Ct);
        Assert.False(stream.IsWhole);
        await Eventually.TrueAsync(
            async () => (await RequestsAsync())["recent"]!.AsArray().Any(one => (string?)one!["id"] == id && (string?)one["outcome"] == "cancelled_in_flight"), "it to be listed as cancelled", Ct);
        Assert.DoesNotContain(Secret, (await RequestsAsync()).ToJsonString(), StringComparison.Ordinal);
        await Gateway.UntilAsync(status => status.Replicas.All(replica => replica.Slots.Busy == 0 && replica.Slots.Quarantined == 0), "the slot to be free again", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Logs_Followed_GoOnWithWhatTheReplicaWrites()
    {
        await Gateway.UntilReadyAsync(Ct);
        using var response = await Gateway.Management.GetAsync(new Uri($"api/replicas/{Model}/0/logs?tail=1&follow=true", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, Ct);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Ct));
        Assert.NotNull(await reader.ReadLineAsync(Ct));
        using var restart = await Gateway.Management.PostAsync(new Uri($"api/replicas/{Model}/0/restart", UriKind.Relative), null, Ct);
        while (await reader.ReadLineAsync(Ct) is { } line && !line.Contains("listening on", StringComparison.Ordinal))
        {
            // Up to the line that the new process writes.
        }

        await Gateway.UntilReadyAsync(Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Live_SendsStatusRequestsHistoryAndEvents()
    {
        using var response = await Gateway.Management.GetAsync(new Uri("api/live", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, Ct);
        var missing = new HashSet<string> { "status", "requests", "history", "events" };
        await foreach (var one in System.Net.ServerSentEvents.SseParser.Create(await response.Content.ReadAsStreamAsync(Ct)).EnumerateAsync(Ct))
        {
            Assert.NotNull(JsonNode.Parse(one.Data));
            if (missing.Remove(one.EventType) && missing.Count == 0)
            {
                break;
            }
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Status_HasEveryFieldOfTheContract()
    {
        await Gateway.UntilReadyAsync(Ct);
        var status = JsonNode.Parse(await Gateway.Management.GetStringAsync(new Uri("api/status", UriKind.Relative), Ct))!;
        foreach (var name in GatewayFields.Concat(ReplicaFields.Select(name => $"models.0.replicas.0.{name}")))
        {
            var node = status;
            foreach (var part in name.Split('.'))
            {
                Assert.True(node is JsonArray || node!.AsObject().ContainsKey(part), name);
                node = node is JsonArray array ? array[int.Parse(part, System.Globalization.CultureInfo.InvariantCulture)] : node![part];
            }
        }
    }

    private async Task<JsonNode> RequestsAsync() => JsonNode.Parse(await Gateway.Management.GetStringAsync(new Uri("api/requests", UriKind.Relative), Ct))!;

    private async Task<JsonArray> EventsAsync()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "api/events") { Headers = { { "Accept", "application/json" } } };
        using var response = await Gateway.Management.SendAsync(request, Ct);
        return JsonNode.Parse(await response.Content.ReadAsStringAsync(Ct))!.AsArray();
    }
}
