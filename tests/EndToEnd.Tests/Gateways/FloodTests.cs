using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Clients that mean harm, or are merely slow, cost the others nothing.</summary>
[Collection(RunsAlone.Name)]
public sealed class FloodTests
{
    private const int SlowReaders = 50;
    private const int HalfRequests = 500;
    private const int FirstBurst = 300;
    private const int Burst = 100;
    private const int Bursts = 15;
    private const int Queued = 8;
    private const string Other = "other";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 180_000)]
    public async Task SlowReadersHalfRequestsAndABurst_LeaveOtherClientsAndMemoryAlone()
    {
        // A context so long that no stream comes to its end: who does not read keeps its slot, and presses back all the way.
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Models": {
                "slow": { "Kind": "simulator", "Slots": {{SlowReaders}}, "Args": ["--ctx-size", "50000000", "--sim-token-rate", "100"], "Queue": { "MaxDepth": {{Queued}} } },
                "{{Other}}": { "Kind": "simulator", "Slots": 4, "Args": ["--sim-token-rate", "50"] } } }
            """,
            Ct);
        await gateway.UntilReadyAsync(Ct);
        await PercentileAsync(gateway.Data, 100);
        var quiet = await PercentileAsync(gateway.Data, 100);
        var memory = ResidentBytes(gateway.Process.Id);

        var sockets = new List<Socket>();
        try
        {
            for (var i = 0; i < SlowReaders; i++)
            {
                sockets.Add(await SendAsync(gateway.DataUrl, Request("""{"model":"slow","stream":true,"max_tokens":1000000,"messages":[{"role":"user","content":"a"}]}""")));
            }

            await gateway.UntilAsync(status => status.Replicas.Any(replica => replica.Slots.Busy == SlowReaders), "the slow readers to be served", Ct);

            // From the moment in which their buffers begin to fill to well after they press back.
            var others = PercentileAsync(gateway.Data, 600);
            await FloodAsync(gateway.DataUrl, sockets, 0);
            var grown = ResidentBytes(gateway.Process.Id) - memory;
            await FloodAsync(gateway.DataUrl, sockets, Bursts);
            var grownInAll = ResidentBytes(gateway.Process.Id) - memory;
            var flooded = await others;
            Assert.Equal(SlowReaders, PressedBack(gateway.DataUrl.Port));

            var numbers = $"p99 of the others: {quiet.TotalMilliseconds:0} ms in peace, {flooded.TotalMilliseconds:0} ms in the flood; {grown / 1048576.0:0.0} MiB more memory half-way, {grownInAll / 1048576.0:0.0} in all";
            TestContext.Current.TestOutputHelper?.WriteLine(numbers);
            Assert.True(flooded <= quiet * 1.5, numbers);
            Assert.InRange(grown, long.MinValue, 64L << 20);
            Assert.InRange(grownInAll, long.MinValue, 96L << 20);
            Assert.Equal(SlowReaders, (await gateway.StatusAsync(Ct)).Replicas.Max(replica => replica.Slots.Busy));
            await AssertCutAsync(sockets[^1]);
        }
        finally
        {
            sockets.ForEach(socket => socket.Dispose());
        }

        await gateway.UntilAsync(status => status.Replicas.All(replica => replica.Slots.Busy == 0), "the slots of those who left", Ct);
    }

    /// <summary>A quarter of a minute of bursts, one a second, for the model that has no slot free; with the very first come half requests.</summary>
    private static async Task FloodAsync(Uri url, List<Socket> sockets, int first)
    {
        using var seconds = new PeriodicTimer(TimeSpan.FromSeconds(1));
        for (var i = first; i < first + Bursts; i++)
        {
            var burst = await Task.WhenAll(Enumerable.Range(0, i == 0 ? FirstBurst : Burst).Select(_ => SendAsync(url, Request("""{"model":"slow","max_tokens":1,"messages":[{"role":"user","content":"a"}]}"""))));
            for (var half = 0; i == 0 && half < HalfRequests; half++)
            {
                sockets.Add(await SendAsync(url, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: "));
            }

            await Eventually.TrueAsync(() => burst.Count(socket => socket.Available > 0) >= burst.Length - Queued, "the burst to be refused", Ct);
            var refused = burst.Where(socket => socket.Available > 0).ToList();
            var line = new byte["HTTP/1.1 429 ".Length];
            foreach (var socket in refused)
            {
                Assert.Equal(line.Length, await socket.ReceiveAsync(line, Ct));
                Assert.Equal("HTTP/1.1 429 ", Encoding.ASCII.GetString(line));
                socket.Dispose();
            }

            sockets.InsertRange(0, burst.Except(refused));
            await seconds.WaitForNextTickAsync(Ct);
        }
    }

    /// <summary>Clients for whom as much waits in the kernel as may.</summary>
    private static int PressedBack(int port) => File.ReadLines("/proc/net/tcp").Skip(1)
        .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Count(fields => fields[1].EndsWith($":{port:X4}", StringComparison.Ordinal) && Convert.ToInt32(fields[4].Split(':')[0], 16) >= 128 * 1024);

    [Fact(Timeout = 60_000)]
    public async Task BodyThatStalls_IsCutWith408()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": { "m": { "Kind": "simulator" } } }""", Ct);
        using var socket = await SendAsync(gateway.DataUrl, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{");
        var text = await ReadAsync(socket);
        Assert.StartsWith("HTTP/1.1 408 ", text, StringComparison.Ordinal);
        Assert.Contains("request_timeout", text, StringComparison.Ordinal);
    }

    [Fact(Timeout = 60_000)]
    public async Task BodyThatDrips_IsCutWith408AfterItsTime()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Gateway": { "BodyTimeout": "2s" }, "Models": { "m": { "Kind": "simulator" } } }""", Ct);
        using var socket = await SendAsync(gateway.DataUrl, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n{");
        var answer = ReadAsync(socket);

        // Fast enough for the least rate that the server asks for, and yet without an end.
        using var drip = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!answer.IsCompleted && await drip.WaitForNextTickAsync(Ct))
        {
            await TrySendAsync(socket, new byte[1000]);
        }

        Assert.StartsWith("HTTP/1.1 408 ", await answer, StringComparison.Ordinal);
    }

    [Fact(Timeout = 60_000)]
    public async Task Connection_BeyondTheMost_IsClosedAtOnce()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Gateway": { "MaxConnections": 2 }, "Models": { "m": { "Kind": "simulator" } } }""", Ct);
        using var one = await SendAsync(gateway.DataUrl, "GET /v1/models HTTP/1.1\r\n");
        using var two = await SendAsync(gateway.DataUrl, "GET /v1/models HTTP/1.1\r\n");
        using var three = await SendAsync(gateway.DataUrl, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Empty(await ReadAsync(three));

        await TrySendAsync(two, "Host: localhost\r\nConnection: close\r\n\r\n"u8.ToArray());
        Assert.StartsWith("HTTP/1.1 200 ", await ReadAsync(two), StringComparison.Ordinal);
    }

    [Fact(Timeout = 60_000)]
    public async Task ManagementListener_HeadThatStallsOrIsTooLarge_IsCutSoon()
    {
        await using var gateway = await GatewayProcess.StartAsync("""{ "Models": {} }""", Ct);
        var startedAt = Stopwatch.GetTimestamp();
        using var stalled = await SendAsync(gateway.ManagementUrl, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
        using var large = await SendAsync(gateway.ManagementUrl, $"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {new string('x', 40 * 1024)}\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 431 ", await ReadAsync(large), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 408 ", await ReadAsync(stalled), StringComparison.Ordinal);
        Assert.InRange(Stopwatch.GetElapsedTime(startedAt), TimeSpan.Zero, TimeSpan.FromSeconds(15));
    }

    /// <summary>The 99th percentile of so many short streams, four at a time.</summary>
    private static async Task<TimeSpan> PercentileAsync(HttpClient client, int count)
    {
        var times = await Task.WhenAll(Enumerable.Range(0, 4).Select(async _ =>
        {
            var mine = new List<TimeSpan>();
            for (var i = 0; i < count / 4; i++)
            {
                var startedAt = Stopwatch.GetTimestamp();
                using var answer = await client.StreamAsync(Other, 10, Ct);
                await answer.ReadToEndAsync(Ct);
                Assert.True(answer.IsWhole, answer.ToString());
                mine.Add(Stopwatch.GetElapsedTime(startedAt));
            }

            return mine;
        }));
        return times.SelectMany(mine => mine).Order().ElementAt((count * 99 / 100) - 1);
    }

    /// <summary>A head that does not end is not waited for longer than its limit.</summary>
    private static async Task AssertCutAsync(Socket socket) => Assert.StartsWith("HTTP/1.1 408 ", await ReadAsync(socket), StringComparison.Ordinal);

    private static string Request(string body) => $"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body.Length}\r\n\r\n{body}";

    private static async Task<Socket> SendAsync(Uri url, string text)
    {
        // A small buffer of its own: what is not read soon presses back on the gateway.
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await socket.ConnectAsync(url.Host, url.Port, Ct);
        await socket.SendAsync(Encoding.ASCII.GetBytes(text), Ct);
        return socket;
    }

    private static async Task TrySendAsync(Socket socket, byte[] bytes)
    {
        try
        {
            await socket.SendAsync(bytes, Ct);
        }
        catch (SocketException)
        {
            // Cut.
        }
    }

    private static async Task<string> ReadAsync(Socket socket)
    {
        var text = new StringBuilder();
        var buffer = new byte[4096];
        try
        {
            while (await socket.ReceiveAsync(buffer, Ct) is var read and > 0)
            {
                text.Append(Encoding.ASCII.GetString(buffer, 0, read));
            }
        }
        catch (SocketException)
        {
            // Cut.
        }

        return text.ToString();
    }

    private static long ResidentBytes(int pid)
    {
        var pages = File.ReadAllText($"/proc/{pid}/statm").Split(' ')[1];
        return long.Parse(pages, System.Globalization.CultureInfo.InvariantCulture) * Environment.SystemPageSize;
    }
}
