using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary>What the management listener puts up with.</summary>
public sealed class ManagementLimitTests(ManagedGateway managed) : IClassFixture<ManagedGateway>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private GatewayProcess Gateway => managed.Gateway;

    [Fact(Timeout = 60_000)]
    public async Task Head_ThatNeverEnds_IsGivenUpAfterFiveSeconds()
    {
        using var client = await ConnectAsync();
        var start = Stopwatch.GetTimestamp();
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "), Ct);
        await ReadToEndAsync(client);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 4, 8);
    }

    [Fact(Timeout = 60_000)]
    public async Task Head_OfFortyKilobytes_Is431()
    {
        using var client = await ConnectAsync();
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {new string('a', 40 * 1024)}\r\n\r\n"), Ct);
        Assert.StartsWith("HTTP/1.1 431 ", await ReadToEndAsync(client), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    [Trait("Suite", "Long")]
    public async Task Connection_ThatIsIdle_IsClosedAfterAMinute()
    {
        using var client = await ConnectAsync();
        var start = Stopwatch.GetTimestamp();
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes("GET /api/session HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), Ct);
        await ReadToEndAsync(client);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 55, 70);
    }

    private async Task<TcpClient> ConnectAsync()
    {
        var client = new TcpClient();
        await client.ConnectAsync(Gateway.ManagementUrl.Host, Gateway.ManagementUrl.Port, Ct);
        return client;
    }

    private static async Task<string> ReadToEndAsync(TcpClient client)
    {
        using var text = new MemoryStream();
        try
        {
            await client.GetStream().CopyToAsync(text, Ct);
        }
        catch (IOException)
        {
            // Reset instead of closed: an end as well.
        }

        return Encoding.ASCII.GetString(text.ToArray());
    }
}
