using System.Net;
using System.Security.Cryptography;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A configuration that changes under load: only what differs is touched.</summary>
public sealed class ReloadTests
{
    private const int Limit = 120_000;
    private const int SigHup = 1;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Reload_OneOfThreeModelsUnderAHundredStreams_NoneFailsAndTheOthersKeepTheirProcesses()
    {
        await using var gateway = await GatewayProcess.StartAsync(Three("1"), Ct);
        var before = await gateway.UntilReadyAsync(Ct);
        Task<IReadOnlyList<StreamedAnswer>>[] streams =
            [gateway.Data.StreamAllAsync(33, "a", 60, Ct), gateway.Data.StreamAllAsync(34, "b", 60, Ct), gateway.Data.StreamAllAsync(33, "c", 60, Ct)];
        await gateway.UntilAsync(status => status.Models.All(model => model.Replicas.Sum(replica => replica.Slots.Busy) == 8), "all slots to be busy", Ct);

        gateway.Configure(Three("2"));
        var reload = gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct);
        var late = new List<StreamedAnswer>();
        while (!reload.IsCompleted)
        {
            late.AddRange(await gateway.Data.StreamAllAsync(2, "b", 3, Ct));
        }

        using var answer = await reload;
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        // Nothing, when the watch of the file was quicker than the command.
        Assert.All((await answer.JsonAsync(Ct))["change"]!["replaced"]!.AsArray(), name => Assert.Equal("b", (string?)name));
        Assert.All((await Task.WhenAll(streams)).SelectMany(answers => answers).Concat(late), stream => Assert.True(stream.IsWhole, stream.ToString()));
        var after = await gateway.UntilReadyAsync(Ct);
        foreach (var replica in before.Replicas)
        {
            Assert.Equal(!replica.Backend.StartsWith('b'), replica.Pid == after.Replica(replica.Backend).Pid);
        }

        static string Three(string seed) =>
            $$"""
            { "Models": {
              "a": { "Kind": "simulator", "Replicas": 2, "Args": ["--sim-token-rate", "60"], "Queue": { "MaxDepth": 200 } },
              "b": { "Kind": "simulator", "Replicas": 2, "Args": ["--sim-token-rate", "60", "--seed", "{{seed}}"], "Queue": { "MaxDepth": 200 } },
              "c": { "Kind": "simulator", "Replicas": 2, "Args": ["--sim-token-rate", "60"], "Queue": { "MaxDepth": 200 } } } }
            """;
    }

    [Fact(Timeout = Limit)]
    public async Task Reload_TheOnlyReplicaChanges_RequestsWaitForTheNewOne()
    {
        await using var gateway = await GatewayProcess.StartAsync(One("1"), Ct);
        await gateway.UntilReadyAsync(Ct);
        gateway.Configure(One("2"));
        var reload = gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct);
        var answers = new List<StreamedAnswer>();
        while (!reload.IsCompleted)
        {
            answers.AddRange(await gateway.Data.StreamAllAsync(3, "m", 3, Ct));
        }

        Assert.Equal(HttpStatusCode.OK, (await reload).StatusCode);
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));

        static string One(string seed) => $$"""{ "Models": { "m": { "Kind": "simulator", "Args": ["--seed", "{{seed}}"] } } }""";
    }

    [Fact(Timeout = Limit)]
    public async Task Fault34_File_Faulty_ChangesNothingAndIsReportedUntilItIsMended()
    {
        const string Good = """{ "Models": { "m": { "Kind": "simulator" } } }""";
        await using var gateway = await GatewayProcess.StartAsync(Good, Ct);
        var before = await gateway.UntilReadyAsync(Ct);

        gateway.Configure("""{ "Models": { "m": { "Kind": "simulator", "Slots": 0, "Replikas": 2 } } }""");
        using (var refused = await gateway.Management.PostAsync(new Uri("api/reload", UriKind.Relative), null, Ct))
        {
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
            var body = await refused.JsonAsync(Ct);
            Assert.Equal("invalid_configuration", (string?)body["error"]!["code"]);
            Assert.Equal(2, body["errors"]!.AsArray().Count);
        }

        var told = await gateway.StatusAsync(Ct);
        Assert.Contains(told.Gateway.Config.Errors, error => error.Contains("Models:m:Slots", StringComparison.Ordinal));
        Assert.Contains(told.Gateway.Config.Errors, error => error.Contains("Replicas", StringComparison.Ordinal));
        Assert.Equal((before.Replicas.Single().Pid, before.Gateway.Config.LoadedAt), (told.Replicas.Single().Pid, told.Gateway.Config.LoadedAt));
        using var still = await gateway.Data.ChatAsync("m", 2, Ct);
        Assert.Equal(HttpStatusCode.OK, still.StatusCode);

        File.WriteAllText(gateway.ConfigurationPath, "{ not JSON");
        await gateway.UntilAsync(status => status.Gateway.Config.Errors.Any(error => error.Contains("not valid JSON", StringComparison.Ordinal)), "the watch to report it", Ct);
        gateway.Configure(Good);
        await gateway.UntilAsync(status => status.Gateway.Config.Errors.Count == 0, "the mended file to be taken", Ct);
        Assert.Equal(before.Replicas.Single().Pid, (await gateway.StatusAsync(Ct)).Replicas.Single().Pid);
    }

    [Fact(Timeout = Limit)]
    public async Task Reload_LastKeyOfAListenerThatOthersReach_IsNotTakenAway()
    {
        static string With(string listen, string gateway, string keys) => $$"""
            { "Gateway": { "Listen": "http://{{listen}}:0" {{gateway}} }, "Keys": [{{keys}}], "Models": { "m": { "Kind": "simulator" } } }
            """;
        var hash = Convert.ToHexStringLower(SHA256.HashData("sk-of-the-team"u8));
        await using var gateway = await GatewayProcess.StartAsync(With("0.0.0.0", "", $$"""{ "Name": "team", "Hash": "sha256:{{hash}}" }"""), Ct);
        await gateway.UntilReadyAsync(Ct);

        // The new address would come with the next start only, the keys would be gone now.
        gateway.Configure(With("127.0.0.1", "", ""));
        using (var refused = await gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct))
        {
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
            Assert.StartsWith("Keys", (string?)Assert.Single((await refused.JsonAsync(Ct))["errors"]!.AsArray()), StringComparison.Ordinal);
        }

        using var stranger = new HttpClient { BaseAddress = new UriBuilder(gateway.DataUrl) { Host = "127.0.0.1" }.Uri };
        using (var answer = await stranger.ChatAsync("m", 1, Ct))
        {
            Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        }

        gateway.Configure(With("127.0.0.1", ", \"Insecure\": true", ""));
        (await gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct)).EnsureSuccessStatusCode().Dispose();
        using (var meant = await stranger.ChatAsync("m", 1, Ct))
        {
            Assert.Equal(HttpStatusCode.OK, meant.StatusCode);
        }

        // Nothing is taken away by this one, which waits for the next start.
        gateway.Configure(With("127.0.0.1", "", ""));
        (await gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct)).EnsureSuccessStatusCode().Dispose();
    }

    [Fact(Timeout = Limit)]
    public async Task Reload_ShorterDrain_HoldsForReplicasThatRun()
    {
        static string With(string drain) => $$"""
            { "Gateway": { "DrainTimeout": "{{drain}}" }, "Models": { "m": { "Kind": "simulator", "Args": ["--sim-token-rate", "5"] } } }
            """;
        await using var gateway = await GatewayProcess.StartAsync(With("30m"), Ct);
        var before = await gateway.UntilReadyAsync(Ct);
        using var stream = await gateway.Data.StreamAsync("m", 3000, Ct);
        await stream.ReadAsync(1, Ct);

        gateway.Configure(With("100ms"));
        (await gateway.Management.PostAsync(new Uri("api/reload?wait=true", UriKind.Relative), null, Ct)).EnsureSuccessStatusCode().Dispose();
        Assert.Equal(before.Replicas.Single().Pid, (await gateway.StatusAsync(Ct)).Replicas.Single().Pid);
        (await gateway.Management.PostAsync(new Uri("api/replicas/m/0/restart?wait=true", UriKind.Relative), null, Ct)).EnsureSuccessStatusCode().Dispose();

        Assert.NotEqual(before.Replicas.Single().Pid, (await gateway.StatusAsync(Ct)).Replicas.Single().Pid);
        await stream.ReadToEndAsync(Ct);
        Assert.True(stream.IsBrokenHonestly, stream.ToString());
    }

    [Fact(Timeout = Limit)]
    public async Task Fault35_File_ModelsComeAndGo_TheStreamThatRunsEndsWholeAndWhoWaitsIsTold()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "old": { "Kind": "simulator", "Slots": 1, "Args": ["--sim-token-rate", "20"] } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        using var running = await gateway.Data.StreamAsync("old", 40, Ct);
        var waiting = gateway.Data.ChatAsync("old", 1, Ct);
        await gateway.UntilAsync(status => status.Model("old").Queue.Depth == 1, "one to wait", Ct);

        gateway.Configure("""{ "Models": { "new": { "Kind": "simulator", "Aliases": ["other"] } } }""");
        gateway.Process.Signal(SigHup);

        using (var told = await waiting)
        {
            await told.AssertErrorAsync(HttpStatusCode.NotFound, "model_not_found", Ct);
        }

        Assert.True((await running.ReadToEndAsync(Ct)).IsWhole);
        await gateway.UntilAsync(status => status.Models.Single() is { Name: "new", State: "ready" }, "the new model to be ready", Ct);
        using var answered = await gateway.Data.ChatAsync("other", 1, Ct);
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);
        using var gone = await gateway.Data.ChatAsync("old", 1, Ct);
        Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        await Eventually.GetAsync(
            () => gateway.Management.GetStringAsync(new Uri("metrics", UriKind.Relative), Ct),
            metrics => !metrics.Contains("llmgateway_backend_state{backend=\"old/0\"", StringComparison.Ordinal), "the series of the old backend to vanish", Ct, TimeSpan.FromSeconds(20));
    }

    [Fact(Timeout = Limit)]
    public async Task Reload_ReplicasAndLimits_ScaleWithoutTouchingWhatRuns()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "m": { "Kind": "simulator", "Replicas": 1 } } }""", Ct);
        var first = (await gateway.UntilReadyAsync(Ct)).Replicas.Single().Pid;
        gateway.Configure("""{ "Models": { "m": { "Kind": "simulator", "Replicas": 3, "Queue": { "MaxDepth": 5 } } } }""");
        using (var plan = await gateway.Management.PostAsync(new Uri("api/reload?plan=true", UriKind.Relative), null, Ct))
        {
            Assert.Equal("~ m: adjusted, its backends stay", (string?)(await plan.JsonAsync(Ct))["plan"]![0]);
        }

        await gateway.UntilAsync(status => status.Replicas.Count(replica => replica.State == "ready") == 3 && status.Model("m").Queue.Limit == 5, "three replicas", Ct);
        gateway.Configure("""{ "Models": { "m": { "Kind": "simulator", "Replicas": 1 } } }""");
        var after = await gateway.UntilAsync(status => status.Replicas.Count() == 1, "one replica", Ct);
        Assert.Equal(first, after.Replicas.Single().Pid);
    }
}
