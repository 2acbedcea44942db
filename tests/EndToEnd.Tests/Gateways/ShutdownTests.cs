using System.Net;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>How the gateway ends: in peace, in a hurry, and by force.</summary>
public sealed class ShutdownTests
{
    private const int Limit = 120_000;
    private const int SigInt = 2;
    private const int SigKill = 9;
    private const int SigTerm = 15;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory(Timeout = Limit)]
    [InlineData(SigTerm)]
    [InlineData(SigInt)]
    public async Task Fault28And29_Signal_TwentyStreamsOnEightSlots_AllFinishAndNewOnesAreRefused(int signal)
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4, "Args": ["--sim-token-rate", "30"] } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        var streams = gateway.Data.StreamAllAsync(20, "demo", 30, Ct);
        await gateway.UntilAsync(
            status => status.Replicas.Sum(replica => replica.Slots.Busy) == 8 && status.Model("demo").Queue.Depth == 12, "8 streams and 12 in the queue", Ct);

        gateway.Process.Signal(signal);
        await gateway.UntilAsync(status => status.Gateway.Draining, "a drain", Ct);

        using var unready = await gateway.Management.GetAsync(new Uri("readyz", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unready.StatusCode);
        using var refused = await gateway.Data.ChatAsync("demo", 1, Ct);
        await refused.AssertErrorAsync(HttpStatusCode.ServiceUnavailable, "shutting_down", Ct);
        refused.AssertRetryAfter();
        Assert.All(await streams, answer => Assert.True(answer.IsWhole, answer.ToString()));
        Assert.Equal(0, await gateway.Process.WaitForExitAsync(Ct));
    }

    [Fact(Timeout = Limit)]
    public async Task SecondSignal_LongStreams_EndsThemHonestlyAndSoon()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Gateway": { "DrainTimeout": "100s" }, "Models": { "demo": { "Kind": "simulator", "Slots": 2 } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        using var first = await gateway.Data.StreamAsync("demo", 30_000, Ct);
        using var second = await gateway.Data.StreamAsync("demo", 30_000, Ct);
        var queued = gateway.Data.StreamAsync("demo", 1, Ct);
        await gateway.UntilAsync(status => status.Model("demo").Queue.Depth == 1, "one in the queue", Ct);
        var ends = Task.WhenAll(first.ReadToEndAsync(Ct), second.ReadToEndAsync(Ct));

        gateway.Process.Signal(SigTerm);
        await gateway.UntilAsync(status => status.Gateway.Draining, "a drain", Ct);
        gateway.Process.Signal(SigTerm);

        Assert.Equal(0, await gateway.Process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(20)));
        Assert.All(await ends, answer => Assert.True(answer.IsBrokenHonestly, answer.ToString()));
        using var told = await queued;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, told.Status);
    }

    [Fact(Timeout = Limit)]
    public async Task DrainTimeout_Over_EndsWhatIsLeft()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Gateway": { "DrainTimeout": "500ms" }, "Models": { "demo": { "Kind": "simulator", "Slots": 2 } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        using var stream = await gateway.Data.StreamAsync("demo", 30_000, Ct);
        var end = stream.ReadToEndAsync(Ct);

        gateway.Process.Signal(SigTerm);

        Assert.Equal(0, await gateway.Process.WaitForExitAsync(Ct, TimeSpan.FromSeconds(20)));
        Assert.True((await end).IsBrokenHonestly, stream.ToString());
    }

    [Fact(Timeout = Limit)]
    public async Task RestartCommand_LongStream_WaitsForTheDrainTimeoutAndNoLonger()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Gateway": { "DrainTimeout": "500ms" }, "Models": { "demo": { "Kind": "simulator", "Slots": 2 } } }""", Ct);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid;
        using var stream = await gateway.Data.StreamAsync("demo", 30_000, Ct);

        using var accepted = await gateway.Management.PostAsync(new Uri("api/replicas/demo/0/restart", UriKind.Relative), null, Ct);

        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
        await stream.ReadToEndAsync(Ct);
        Assert.True(stream.IsBrokenHonestly, stream.ToString());
        await gateway.UntilAsync(status => status.Replica("demo/0") is { State: "ready", Pid: var pid } && pid != before, "a new process", Ct);
    }

    [Fact(Timeout = Limit)]
    public async Task Kill_TheGateway_NoChildOutlivesItByASecond()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Models": {
                "demo": { "Kind": "simulator", "Replicas": 2 },
                "deaf": { "Kind": "simulator", "Args": ["--sim-ignore-sigterm"] },
                "loading": { "Kind": "simulator", "Args": ["--sim-load-ms", "60000"] } } }
            """,
            Ct);
        await gateway.UntilAsync(
            status => status.Replicas.Count(replica => replica.State == "ready") == 3 && status.Replica("loading/0").Pid is not null, "three replicas up and one on its way", Ct);
        using var stream = await gateway.Data.StreamAsync("deaf", 30_000, Ct);
        var children = gateway.Descendants();
        Assert.True(children.Count >= 4);

        gateway.Process.Signal(SigKill);
        await gateway.Process.WaitForExitAsync(Ct);

        await Eventually.TrueAsync(() => !children.Any(child => child.IsAlive), "no child alive", Ct, TimeSpan.FromSeconds(1));
    }
}
