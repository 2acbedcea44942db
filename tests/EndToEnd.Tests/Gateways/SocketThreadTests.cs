using System.Collections.Concurrent;
using System.Diagnostics.Tracing;
using System.Net.Http.Json;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;
using Microsoft.Diagnostics.Tracing.Parsers;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>The relay works on the threads that wait for sockets, so nothing there may ever wait for anything else: the runtime itself is asked whether anything did.</summary>
public sealed class SocketThreadTests
{
    private const int Limit = 120_000;
    private const string Runtime = "Microsoft-Windows-DotNETRuntime";
    private const long ContentionKeyword = 0x4000;
    private const long WaitHandleKeyword = 0x400_0000_0000;

    // The runtime's own numbers of these events.
    private const int ContentionStart = 81;
    private const int ContentionStop = 91;
    private const int WaitStart = 301;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Relay_UnderEveryKindOfTraffic_NeverWaitsOnASocketThread()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Threads are told apart by /proc.");
        await using var gateway = await GatewayProcess.StartAsync(
            """
            { "Queue": { "MaxDepth": 8, "Timeout": "1s" },
              "Models": { "demo": { "Kind": "simulator", "Replicas": 2, "Slots": 4, "Timeouts": { "FirstToken": "1s", "BetweenTokens": "1s" } } } }
            """,
            Ct);
        var simulators = await gateway.SimulatorsAsync(Ct);
        var client = new DiagnosticsClient(gateway.Process.Id);
        using var session = await client.StartEventPipeSessionAsync([new EventPipeProvider(Runtime, EventLevel.Verbose, ContentionKeyword | WaitHandleKeyword)], requestRundown: false, 64, Ct);
        var waits = new ConcurrentDictionary<int, int>();
        var reading = Task.Run(() => Read(session.EventStream, waits), Ct);

        await using (var traffic = LiveTraffic.Start(gateway.Data, 6, "demo", 20))
        {
            await Task.WhenAll(WholeAnswersAsync(gateway), LeaversAsync(gateway), WrongOnesAsync(gateway), LargeBodiesAsync(gateway));
            foreach (var simulator in simulators)
            {
                await simulator.SetFaultsAsync(new { dropAfterTokens = 5, dropBy = "reset" }, Ct);
            }

            var before = traffic.Count;
            await Eventually.TrueAsync(() => traffic.Count > before + 12, "streams to break", Ct);
            foreach (var simulator in simulators)
            {
                await simulator.ClearFaultsAsync(Ct);
            }

            // More than there is room for.
            await Task.WhenAll(Enumerable.Range(0, 24).Select(async _ => (await gateway.Data.ChatAsync("demo", 20, Ct)).Dispose()));
        }

        var names = ThreadNames(gateway.Process.Id);
        await session.StopAsync(Ct);
        await reading.WaitAsync(Ct);

        // The instrument works: a thread that does nothing but wait has been seen.
        Assert.Contains(waits, pair => names.GetValueOrDefault(pair.Key)?.StartsWith("thread pool wat", StringComparison.Ordinal) == true);
        Assert.Equal(Math.Max(1, Environment.ProcessorCount / 2), names.Values.Count(static name => name == ".NET Sockets"));
        Assert.DoesNotContain(waits, pair => names.GetValueOrDefault(pair.Key) == ".NET Sockets");
    }

    /// <summary>Counts each thread's waits but those for a lock that another thread holds for a moment.</summary>
    private static void Read(Stream events, ConcurrentDictionary<int, int> waits)
    {
        using var source = new EventPipeEventSource(events);
        var contending = new HashSet<int>();
        source.AllEvents += data =>
        {
            _ = (data.ProviderGuid == ClrTraceEventParser.ProviderGuid ? (int)data.ID : 0) switch
            {
                ContentionStart => contending.Add(data.ThreadID),
                ContentionStop => contending.Remove(data.ThreadID),
                WaitStart when !contending.Contains(data.ThreadID) => waits.AddOrUpdate(data.ThreadID, 1, static (_, count) => count + 1) > 0,
                _ => false,
            };
        };
        source.Process();
    }

    private static Dictionary<int, string> ThreadNames(int process) => Directory.GetDirectories($"/proc/{process}/task")
        .ToDictionary(static folder => int.Parse(Path.GetFileName(folder), System.Globalization.CultureInfo.InvariantCulture), static folder => File.ReadAllText(Path.Combine(folder, "comm")).Trim());

    private static async Task WholeAnswersAsync(GatewayProcess gateway)
    {
        for (var i = 0; i < 30; i++)
        {
            using var answer = await gateway.Data.ChatAsync("demo", 5, Ct);
        }
    }

    private static async Task LeaversAsync(GatewayProcess gateway)
    {
        for (var i = 0; i < 20; i++)
        {
            using var stream = await gateway.Data.StreamAsync("demo", 10_000, Ct);
            await stream.ReadAsync(2, Ct);
        }
    }

    private static async Task WrongOnesAsync(GatewayProcess gateway)
    {
        for (var i = 0; i < 20; i++)
        {
            using var unknown = await gateway.Data.ChatAsync("unknown", 5, Ct);
            using var malformed = await gateway.Data.PostAsync(new Uri("v1/chat/completions", UriKind.Relative), new StringContent("{"), Ct);
            using var nowhere = await gateway.Data.GetAsync(new Uri("nowhere", UriKind.Relative), Ct);
            using var models = await gateway.Data.GetAsync(new Uri("v1/models", UriKind.Relative), Ct);
        }
    }

    private static async Task LargeBodiesAsync(GatewayProcess gateway)
    {
        var body = Conversation.ChatBody("demo", 3, stream: false);
        body["user"] = new string('x', 1 << 20);
        for (var i = 0; i < 5; i++)
        {
            using var answer = await gateway.Data.PostAsJsonAsync("v1/chat/completions", body, Ct);
        }
    }
}
