using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A client that leaves gives back what it held: at once its place, and its slot as soon as the backend has let go.</summary>
public sealed class ClientAbortTests
{
    private const int Limit = 60_000;
    private const string OneSlot = """{ "Models": { "demo": { "Kind": "simulator", "Slots": 1 } } }""";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Leave_InTheMiddleOfAStream_FreesTheSlotForTheNext()
    {
        await using var gateway = await GatewayProcess.StartAsync(OneSlot, Ct);
        using var simulator = Assert.Single(await gateway.SimulatorsAsync(Ct));
        var stream = await gateway.Data.StreamAsync("demo", 30_000, Ct);
        await stream.ReadAsync(3, Ct);
        var next = gateway.Data.StreamAsync("demo", 2, Ct);
        await gateway.UntilAsync(status => status.Model("demo").Queue.Depth == 1, "one in the queue", Ct);

        stream.Dispose();

        using var answer = await (await next).ReadToEndAsync(Ct);
        Assert.True(answer.IsWhole, answer.ToString());
        await AssertFreeAsync(gateway, simulator, aborted: 1);
        Assert.Equal(1, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "cancelled_in_flight")));
    }

    [Fact(Timeout = Limit)]
    public async Task Leave_BeforeAWholeAnswer_FreesTheSlotForTheNext()
    {
        await using var gateway = await GatewayProcess.StartAsync(OneSlot, Ct);
        using var simulator = Assert.Single(await gateway.SimulatorsAsync(Ct));
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var answer = gateway.Data.ChatAsync("demo", 30_000, leaving.Token);
        await Eventually.GetAsync(() => simulator.GetStateAsync(Ct), state => state.Processing == 1, "the backend to work", Ct);

        await leaving.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answer);
        using var next = await gateway.Data.ChatAsync("demo", 2, Ct);
        Assert.True(next.IsSuccessStatusCode);
        await AssertFreeAsync(gateway, simulator, aborted: 1);
    }

    [Fact(Timeout = Limit)]
    public async Task Leave_TheQueue_FreesThePlaceAndNeverReachesABackend()
    {
        await using var gateway = await GatewayProcess.StartAsync(OneSlot, Ct);
        using var simulator = Assert.Single(await gateway.SimulatorsAsync(Ct));
        using var stream = await gateway.Data.StreamAsync("demo", 30_000, Ct);
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var queued = Enumerable.Range(0, 20).Select(i => i % 2 == 0
            ? (Task)gateway.Data.StreamAsync("demo", 5, leaving.Token)
            : gateway.Data.ChatAsync("demo", 5, leaving.Token)).ToList();
        await gateway.UntilAsync(status => status.Model("demo").Queue.Depth == 20, "20 in the queue", Ct);

        await leaving.CancelAsync();

        await gateway.UntilAsync(status => status.Model("demo").Queue is { Depth: 0, Bytes: 0 }, "an empty queue", Ct);
        foreach (var one in queued)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => one);
        }

        Assert.Equal(1, (await simulator.GetStateAsync(Ct)).Requests);
        await Eventually.GetAsync(
            () => gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "cancelled_queued")), count => count == 20, "20 cancelled in the queue", Ct);
        await stream.ReadAsync(stream.Events.Count + 3, Ct);
    }

    private static async Task AssertFreeAsync(GatewayProcess gateway, SimulatorControl simulator, int aborted)
    {
        await gateway.UntilAsync(status => status.Replica("demo/0").Slots is { Busy: 0, Quarantined: 0 } && status.Gateway.RequestsInFlight == 0, "a free slot", Ct);
        var state = await simulator.GetStateAsync(Ct);
        Assert.Equal((0, 0, aborted, 0), (state.InFlight, state.Processing, state.Aborted, state.DeferredPeak));
    }
}
