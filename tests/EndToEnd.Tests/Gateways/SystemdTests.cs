using System.Net.Sockets;
using System.Text;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>What systemd is told.</summary>
public sealed class SystemdTests
{
    private const int Limit = 60_000;
    private const int SigTerm = 15;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Notify_ReadyAliveAndStopping_AndNoneOfItReachesTheServers()
    {
        using var folder = new TemporaryFolder();
        var address = Path.Combine(folder.Path, "notify");
        using var systemd = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        systemd.Bind(new UnixDomainSocketEndPoint(address));
        var environment = new Dictionary<string, string?> { ["NOTIFY_SOCKET"] = address, ["WATCHDOG_USEC"] = "400000" };
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "m": { "Kind": "simulator" } } }""", Ct, environment);

        Assert.StartsWith("READY=1\nSTATUS=Serving 1 models on http://127.0.0.1:", await NextAsync(), StringComparison.Ordinal);
        Assert.Equal("WATCHDOG=1", await NextAsync());
        Assert.Equal("WATCHDOG=1", await NextAsync());
        var pid = (await gateway.UntilReadyAsync(Ct)).Replicas.Single().Pid;
        var inherited = await File.ReadAllTextAsync($"/proc/{pid}/environ", Ct);
        Assert.DoesNotContain("NOTIFY_SOCKET", inherited, StringComparison.Ordinal);
        Assert.DoesNotContain("WATCHDOG_", inherited, StringComparison.Ordinal);

        // The socket holds ten messages and drops the rest, which systemd, who reads at once, never sees.
        while (systemd.Available > 0)
        {
            await NextAsync();
        }

        gateway.Process.Signal(SigTerm);
        string told;
        while ((told = await NextAsync()) == "WATCHDOG=1")
        {
        }

        Assert.StartsWith("STOPPING=1", told, StringComparison.Ordinal);

        async Task<string> NextAsync()
        {
            var buffer = new byte[1024];
            return Encoding.UTF8.GetString(buffer, 0, await systemd.ReceiveAsync(buffer, Ct));
        }
    }
}
