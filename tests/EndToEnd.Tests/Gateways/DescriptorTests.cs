using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A process that may open no more files refuses new clients and keeps the others.</summary>
public sealed class DescriptorTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 90_000)]
    public async Task Fault38_DescriptorsRunOut_NewConnectionsAreClosedAndWhatRunsGoesOn()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "demo": { "Kind": "simulator" } } }""", Ct);
        await gateway.UntilReadyAsync(Ct);
        using var stream = await gateway.Data.StreamAsync("demo", 300, Ct);
        await stream.ReadAsync(3, Ct);

        // A quarter is kept back: of twice what it has, half of that is left for clients.
        var open = Directory.GetFileSystemEntries($"/proc/{gateway.Process.Id}/fd").Length;
        await LimitAsync(gateway.Process.Id, 2 * open);
        var crowd = new List<Socket>();
        try
        {
            for (var i = 0; i < 2 * open; i++)
            {
                var one = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                crowd.Add(one);
                await ConnectAsync(one, gateway.DataUrl);
            }

            await gateway.Process.WaitForLineAsync(line => line.Contains("file descriptors", StringComparison.Ordinal), Ct);
            Assert.True(await IsClosedAsync(crowd[^1]), "left waiting");
            await stream.ReadToEndAsync(Ct);
            Assert.True(stream.IsWhole, stream.ToString());
        }
        finally
        {
            crowd.ForEach(one => one.Dispose());
        }

        // It recovers by itself, at the same limit.
        await Eventually.TrueAsync(async () => await AnswersAsync(gateway), "an answer", Ct);
        Assert.Single(gateway.Output.Split('\n'), line => line.Contains("file descriptors", StringComparison.Ordinal));
        Assert.Equal(0, await gateway.MetricAsync("llmgateway_process_restarts_total", Ct));
    }

    private static async Task ConnectAsync(Socket socket, Uri url)
    {
        try
        {
            await socket.ConnectAsync(url.Host, url.Port, Ct);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // Closed before it was told that it is open.
        }
    }

    private static async Task<bool> IsClosedAsync(Socket socket)
    {
        try
        {
            return await socket.ReceiveAsync(new byte[1], Ct) == 0;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.NotConnected)
        {
            return true;
        }
    }

    private static async Task<bool> AnswersAsync(GatewayProcess gateway)
    {
        try
        {
            using var answer = await gateway.Data.ChatAsync("demo", 2, Ct);
            return answer.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false; // the crowd is still being seen off
        }
    }

    private static async Task LimitAsync(int pid, int descriptors)
    {
        using var process = Process.Start("prlimit", [$"--nofile={descriptors}:", "--pid", pid.ToString(CultureInfo.InvariantCulture)]);
        await process.WaitForExitAsync(Ct);
        Assert.Equal(0, process.ExitCode);
    }
}
