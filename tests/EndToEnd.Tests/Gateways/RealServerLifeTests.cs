using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Real llama-servers that die, start badly, are flooded and end.</summary>
[Trait("Suite", "Real")]
public sealed class RealServerLifeTests
{
    private const int Limit = 180_000;
    private const int SigTerm = 15;

    public RealServerLifeTests() => RealServer.SkipIfAbsent();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Kill_OneReplicaUnderLoad_LosesNoStreamAndComesBack()
    {
        await using var gateway = await StartAsync(RealServer.MediumModel!, slots: 2, context: 4096);
        var victim = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0").Pid!.Value;

        var headers = Enumerable.Range(0, 10).Select(_ => gateway.Data.StreamAsync("noise", 120, Ct)).ToList();
        var begun = new List<StreamedAnswer>();
        await foreach (var one in Task.WhenEach(headers).WithCancellation(Ct))
        {
            begun.Add(await (await one).ReadAsync(2, Ct));
            if (begun.Count == 4)
            {
                break;
            }
        }

        Process.GetProcessById(victim).Kill();
        var answers = await Task.WhenAll(headers.Select(async one => await (await one).ReadToEndAsync(Ct)));

        // One that had just ended may have been followed by a next one: what the dead process was saying, and nothing else, is said on by the other.
        Assert.All(answers, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.InRange(await gateway.MetricAsync("llmgateway_stream_recoveries_total", Ct, ("result", "recovered")), 1, 2);
        await gateway.UntilAsync(status => status.Replica("noise/0") is { State: "ready", Pid: var pid } && pid != victim, "noise/0 to be back", Ct);
        Assert.Equal(1, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct, ("backend", "noise/0")));
        using var after = await gateway.Data.ChatAsync("noise", 2, Ct);
        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Burst_TwoHundredRequests_NoServerEverDefersOne()
    {
        await using var gateway = await StartAsync(RealServer.TinyModel!, slots: 4, context: 8192);
        var status = await gateway.UntilReadyAsync(Ct);
        using var watching = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var watches = status.Replicas.Select(replica => WatchAsync(replica, watching.Token)).ToList();

        var streams = gateway.Data.StreamAllAsync(100, "noise", 60, Ct);
        var wholes = Task.WhenAll(Enumerable.Range(0, 100).Select(_ => gateway.Data.ChatAsync("noise", 60, Ct)));

        Assert.All(await streams, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.All(await wholes, answer => Assert.Equal(HttpStatusCode.OK, answer.StatusCode));
        await watching.CancelAsync();
        var seen = await Task.WhenAll(watches);
        Assert.All(seen, server =>
        {
            Assert.NotEqual(0, server.Looks);
            Assert.Equal(0, server.MostDeferred);
            Assert.InRange(server.TokensPredicted, 1, double.MaxValue);
        });
        Assert.Equal(200, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "ok")));
    }

    [Fact(Timeout = Limit)]
    public async Task Sigterm_TwentyStreamsOnFourSlots_AllFinish()
    {
        await using var gateway = await StartAsync(RealServer.MediumModel!, slots: 2, context: 4096);
        await gateway.UntilReadyAsync(Ct);
        var begun = gateway.Data.StreamAllAsync(4, "noise", 200, Ct);
        await gateway.UntilAsync(status => status.Replicas.Sum(replica => replica.Slots.Busy) == 4, "four streams", Ct);
        var queued = gateway.Data.StreamAllAsync(16, "noise", 16, Ct);
        await gateway.UntilAsync(status => status.Model("noise").Queue.Depth == 16, "16 in the queue", Ct);

        gateway.Process.Signal(SigTerm);

        Assert.All([.. await begun, .. await queued], answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Equal(0, await gateway.Process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(30)));
    }

    [Fact(Timeout = Limit)]
    public async Task Leave_InTheMiddleOfAStream_TheServerLetsGo()
    {
        await using var gateway = await StartAsync(RealServer.MediumModel!, slots: 1, context: 4096, replicas: 1);
        await gateway.UntilReadyAsync(Ct);
        var stream = await gateway.Data.StreamAsync("noise", 1800, Ct);
        await stream.ReadAsync(3, Ct);

        stream.Dispose();

        using var next = await gateway.Data.ChatAsync("noise", 2, Ct);
        Assert.Equal(HttpStatusCode.OK, next.StatusCode);
        await gateway.UntilAsync(status => status.Replica("noise/0").Slots is { Busy: 0, Quarantined: 0 }, "a free slot", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Restart_ByCommand_IsANewProcessThatAnswers()
    {
        await using var gateway = await StartAsync(RealServer.TinyModel!, slots: 2, context: 2048, replicas: 1);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0").Pid;

        using var restarted = await gateway.Management.PostAsync(new Uri("api/replicas/noise/0/restart?wait=true", UriKind.Relative), null, Ct);

        Assert.Equal(HttpStatusCode.OK, restarted.StatusCode);
        var after = await gateway.UntilAsync(status => status.Replica("noise/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
        Assert.Equal("requested", after.Replica("noise/0").LastExit!.Cause);
        using var answer = await gateway.Data.ChatAsync("noise", 2, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task ModelOption_WithoutAConfigurationFile_ServesTheFile()
    {
        var name = Path.GetFileNameWithoutExtension(RealServer.TinyModel!);
        await using var gateway = await GatewayProcess.StartWithArgumentsAsync(
            ["--model", RealServer.TinyModel!, "--llama-server", RealServer.Executable!, "--slots", "2", "--", "-c", "4096"], [name], Ct);
        var status = await gateway.UntilReadyAsync(Ct);

        Assert.Equal(2, status.Replica($"{name}/0").Slots.Total);
        using var answer = await gateway.Data.ChatAsync(name, 4, Ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);

        // What follows -- has reached the server: two slots share 4096 tokens.
        var command = await File.ReadAllTextAsync($"/proc/{status.Replica($"{name}/0").Pid}/cmdline", Ct);
        Assert.Contains("-c\04096\0", command, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task Model_MissingOrTruncated_FailsWithCauseAndAdvice()
    {
        var truncated = Path.Combine(Path.GetTempPath(), $"truncated-{Guid.NewGuid():n}.gguf");
        await File.WriteAllBytesAsync(truncated, (await File.ReadAllBytesAsync(RealServer.TinyModel!, Ct))[..200_000], Ct);
        try
        {
            await using var gateway = await GatewayProcess.StartAsync(
                $$"""
                { "Models": {
                    "missing": { "Executable": "{{RealServer.Executable}}", "Args": ["-m", "/no/such/model.gguf"] },
                    "truncated": { "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{truncated}}"] } } }
                """,
                Ct);

            var status = await gateway.UntilAsync(status => status.Replicas.All(replica => replica.State == "failed"), "both to have failed", Ct);

            Assert.All(status.Replicas, replica => Assert.Equal("model_invalid", replica.LastExit!.Cause));
            Assert.Contains("/no/such/model.gguf", status.Replica("missing/0").LastExit!.Advice, StringComparison.Ordinal);
            Assert.Contains("download it again", status.Replica("truncated/0").LastExit!.Advice, StringComparison.OrdinalIgnoreCase);
            Assert.NotEmpty(status.Replica("truncated/0").LastExit!.Log);
            using var response = await gateway.Data.ChatAsync("truncated", 1, Ct);
            await response.AssertErrorAsync(HttpStatusCode.ServiceUnavailable, "model_loading_failed", Ct);
        }
        finally
        {
            File.Delete(truncated);
        }
    }

    private static Task<GatewayProcess> StartAsync(string model, int slots, int context, int replicas = 2) => GatewayProcess.StartAsync(
        $$"""
        { "Models": { "noise": {
            "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{model}}", "-c", "{{context}}"],
            "Replicas": {{replicas}}, "Slots": {{slots}}, "Restart": { "InitialBackoff": "100ms" } } } }
        """,
        Ct);

    /// <summary>Reads a server's own metrics every 3 s (more often would disturb how it notices clients that leave) and once at the end.</summary>
    private static async Task<(int Looks, double MostDeferred, double TokensPredicted)> WatchAsync(ReplicaPart replica, CancellationToken stop)
    {
        // Its key is where only its owner can read it.
        var environment = (await File.ReadAllTextAsync($"/proc/{replica.Pid}/environ", CancellationToken.None)).Split('\0');
        using var client = new HttpClient { BaseAddress = new Uri(replica.Address!) };
        if (environment.FirstOrDefault(variable => variable.StartsWith("LLAMA_API_KEY=", StringComparison.Ordinal)) is { } key)
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key["LLAMA_API_KEY=".Length..]);
        }

        using var interval = new PeriodicTimer(TimeSpan.FromSeconds(3));
        var (looks, most, tokens) = (0, 0.0, 0.0);
        bool goesOn;
        do
        {
            goesOn = await NextAsync(interval, stop);
            var text = await client.GetStringAsync(new Uri("metrics", UriKind.Relative), CancellationToken.None);
            most = Math.Max(most, Value(text, "llamacpp:requests_deferred"));
            tokens = Value(text, "llamacpp:tokens_predicted_total");
            looks++;
        }
        while (goesOn);
        return (looks, most, tokens);
    }

    private static async Task<bool> NextAsync(PeriodicTimer interval, CancellationToken stop)
    {
        try
        {
            return await interval.WaitForNextTickAsync(stop);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private static double Value(string metrics, string name) =>
        double.Parse(metrics.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal))[(name.Length + 1)..], CultureInfo.InvariantCulture);
}
