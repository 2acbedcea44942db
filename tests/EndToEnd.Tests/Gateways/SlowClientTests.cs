using System.Net.Sockets;
using System.Text;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Clients that read drop by drop, close one half, or vanish: each loses only its own stream.</summary>
public sealed class SlowClientTests
{
    private const int Limit = 120_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Readers_OfAByteASecond_AreCutAndOthersGetTheirTokensInTime()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Replicas": 1, "Slots": 24, "SlowStart": "0s", "Args": ["--sim-token-rate", "400", "-c", "4000000"] } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        var before = Resident(gateway);
        var slow = new List<Socket>();
        for (var i = 0; i < 20; i++)
        {
            slow.Add(await AskAsync(gateway, tokens: 100_000, receiveBuffer: 4096));
        }

        await gateway.UntilAsync(status => status.Replica("demo/0").Slots.Busy == 20, "20 slow readers", Ct);
        using var other = await (await gateway.Data.StreamAsync("demo", 400, Ct)).ReadToEndAsync(Ct);
        Assert.True(other.IsWhole, other.ToString());

        // A byte each now and then, until the gateway has had enough of all of them.
        await gateway.UntilAsync(
            status =>
            {
                foreach (var one in slow)
                {
                    if (one.Available > 0)
                    {
                        one.Receive(new byte[1]);
                    }
                }

                return status.Replica("demo/0").Slots is { Busy: 0, Quarantined: 0 };
            },
            "their slots to be free",
            Ct,
            TimeSpan.FromSeconds(60));
        Assert.InRange(Resident(gateway) - before, long.MinValue, 64 << 20);
        Assert.Equal(20, await gateway.MetricAsync("llmgateway_requests_total", Ct, ("outcome", "cancelled_in_flight")));
        slow.ForEach(one => one.Dispose());
    }

    [Theory(Timeout = Limit)]
    [InlineData("queued")]
    [InlineData("prefill")]
    [InlineData("streaming")]
    public async Task Client_ClosesItsHalf_IsTakenForGone(string phase)
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "demo": { "Kind": "simulator", "Replicas": 1, "Slots": 1, "SlowStart": "0s" } } }""", Ct);
        using var simulator = Assert.Single(await gateway.SimulatorsAsync(Ct));
        StreamedAnswer? holder = null;
        if (phase == "queued")
        {
            holder = await (await gateway.Data.StreamAsync("demo", 30_000, Ct)).ReadAsync(2, Ct);
        }
        else if (phase == "prefill")
        {
            await simulator.SetFaultsAsync(new { inference = "headers-only" }, Ct);
        }

        using var client = await AskAsync(gateway, tokens: 30_000);
        if (phase == "streaming")
        {
            await client.ReceiveAsync(new byte[1], Ct);
        }

        await gateway.UntilAsync(status => phase == "queued" ? status.Model("demo").Queue.Depth == 1 : status.Replica("demo/0").Slots.Busy == 1, phase, Ct);
        client.Shutdown(SocketShutdown.Send);

        await gateway.UntilAsync(
            status => phase == "queued" ? status.Model("demo").Queue.Depth == 0 : status.Replica("demo/0").Slots is { Busy: 0, Quarantined: 0 }, "its place to be free", Ct);
        holder?.Dispose();
    }

    private static long Resident(GatewayProcess gateway)
    {
        using var process = System.Diagnostics.Process.GetProcessById(gateway.Process.Id);
        return process.WorkingSet64;
    }

    private static async Task<Socket> AskAsync(GatewayProcess gateway, int tokens, int? receiveBuffer = null)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        if (receiveBuffer is { } size)
        {
            socket.ReceiveBufferSize = size;
        }

        await socket.ConnectAsync(gateway.DataUrl.Host, gateway.DataUrl.Port, Ct);
        var body = Conversation.ChatBody("demo", tokens, stream: true).ToJsonString();
        await socket.SendAsync(Encoding.UTF8.GetBytes($"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body.Length}\r\n\r\n{body}"), Ct);
        return socket;
    }
}
