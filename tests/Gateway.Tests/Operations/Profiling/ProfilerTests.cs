using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Operations.Profiling;
using LlmGateway.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Diagnostics.Tracing.Etlx;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LlmGateway.Gateway.Tests.Operations.Profiling;

/// <summary>Profiles of this very process, in which something was planted to be found.</summary>
[Collection(nameof(Telemetry.SpansAreExported))]
[Trait("Suite", "Integration")]
public sealed class ProfilerTests : IAsyncLifetime
{
    private const int Limit = 120_000;

    private WebApplication _app = null!;
    private HttpClient _client = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        _app = builder.Build();
        _app.MapProfiler(TimeProvider.System, NullLogger.Instance);
        await _app.StartAsync(Ct);
        _client = new HttpClient { BaseAddress = new Uri(_app.Urls.Single()) };
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _app.DisposeAsync();
    }

    [Fact(Timeout = Limit)]
    public async Task Trace_OfAHotMethod_HoldsSamplesOfIt()
    {
        using var busy = new Planted(() => HotMethod());
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "t.nettrace");
        await File.WriteAllBytesAsync(path, await _client.GetByteArrayAsync(new Uri("debug/trace?seconds=1", UriKind.Relative), Ct), Ct);

        using var log = new TraceLog(TraceLog.CreateFromEventPipeDataFile(path));
        Assert.Contains(log.Events, data => Frames(data.CallStack()).Any(name => name.Contains(nameof(HotMethod), StringComparison.Ordinal)));
    }

    [Fact(Timeout = Limit)]
    public async Task Trace_AsSpeedscope_NamesTheHotMethod()
    {
        using var busy = new Planted(() => HotMethod());
        var text = await _client.GetStringAsync(new Uri("debug/trace?seconds=1&format=speedscope", UriKind.Relative), Ct);

        Assert.Contains(JsonNode.Parse(text)!["shared"]!["frames"]!.AsArray(), frame => ((string)frame!["name"]!).Contains(nameof(HotMethod), StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task GcHeap_OfPlantedObjects_ListsTheirType()
    {
        var planted = Enumerable.Range(0, 200_000).Select(_ => new PlantedObject()).ToArray();
        var heap = await JsonAsync("debug/gcheap");
        GC.KeepAlive(planted);

        var type = heap["types"]!.AsArray().Single(type => ((string)type!["type"]!).EndsWith(nameof(PlantedObject), StringComparison.Ordinal))!;
        Assert.Equal(200_000, (long)type["count"]!);
        Assert.InRange((long)heap["bytes"]!, (long)type["bytes"]!, long.MaxValue);
    }

    [Fact(Timeout = Limit)]
    public async Task Stacks_OfABlockedThread_ShowWhereItStands()
    {
        using var gate = new ManualResetEventSlim();
        var thread = new Thread(() => BlockedMethod(gate)) { IsBackground = true };
        thread.Start();
        try
        {
            var threads = (await JsonAsync("debug/stacks"))["threads"]!.AsArray();
            Assert.Contains(threads, one => one!["frames"]!.AsArray().Any(frame => ((string)frame!).Contains(nameof(BlockedMethod), StringComparison.Ordinal)));
        }
        finally
        {
            gate.Set();
            thread.Join();
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Allocations_OfABusyAllocator_NameItsType()
    {
        using var busy = new Planted(() => GC.KeepAlive(new PlantedObject[1000]));
        var types = (await JsonAsync("debug/allocations?seconds=1"))["types"]!.AsArray();

        Assert.Contains(types, type => ((string)type!["type"]!).Contains(nameof(PlantedObject), StringComparison.Ordinal) && (long)type["bytes"]! > 100_000);
    }

    [Fact(Timeout = Limit)]
    public async Task Contention_OfAPlantedLock_NamesThePlace()
    {
        var shared = new object();
        using var one = new Planted(() => Contend(shared));
        using var other = new Planted(() => Contend(shared));
        var places = (await JsonAsync("debug/contention?seconds=1"))["places"]!.AsArray();

        Assert.Contains(places, place => (long)place!["count"]! > 0 && place["frames"]!.AsArray().Any(frame => ((string)frame!).Contains(nameof(Contend), StringComparison.Ordinal)));
    }

    [Fact(Timeout = Limit)]
    public async Task Counters_ForASecond_AreALineOfJson()
    {
        var lines = (await _client.GetStringAsync(new Uri("debug/counters?seconds=1", UriKind.Relative), Ct)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True((long)JsonNode.Parse(Assert.Single(lines))!["workingSetBytes"]! > 0);
    }

    [Fact(Timeout = Limit)]
    public async Task Profile_OfAKindThatRuns_Is409AndFreeAgainWhenTheClientLeaves()
    {
        using var leave = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var first = _client.GetAsync(new Uri("debug/trace?seconds=60", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, leave.Token);
        using var running = await first;
        using var second = await _client.GetAsync(new Uri("debug/trace?seconds=1", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.Conflict, second.StatusCode);
        using var other = await _client.GetAsync(new Uri("debug/counters?seconds=1", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);

        running.Dispose();
        await Eventually.TrueAsync(
            async () =>
            {
                var index = JsonNode.Parse(await _client.GetStringAsync(new Uri("debug/", UriKind.Relative), Ct))!;
                return index["profiles"]!.AsArray().All(profile => !(bool)profile!["running"]!);
            },
            "the profile to end", Ct, TimeSpan.FromSeconds(30));
    }

    [Theory(Timeout = Limit)]
    [InlineData("debug/trace?seconds=0")]
    [InlineData("debug/trace?seconds=61")]
    [InlineData("debug/trace?format=xml")]
    [InlineData("debug/allocations?seconds=-1")]
    public async Task Profile_OutsideItsBounds_Is400(string path)
    {
        using var response = await _client.GetAsync(new Uri(path, UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    private async Task<JsonObject> JsonAsync(string path) => JsonNode.Parse(await _client.GetStringAsync(new Uri(path, UriKind.Relative), Ct))!.AsObject();

    private static IEnumerable<string> Frames(TraceCallStack? stack)
    {
        for (; stack is not null; stack = stack.Caller)
        {
            yield return stack.CodeAddress.FullMethodName;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.NoOptimization)]
    private static double HotMethod()
    {
        var sum = 0.0;
        for (var i = 0; i < 10_000; i++)
        {
            sum += Math.Sqrt(i);
        }

        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void BlockedMethod(ManualResetEventSlim gate) => gate.Wait();

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Contend(object shared)
    {
        lock (shared)
        {
            HotMethod();
        }
    }

    private sealed class PlantedObject
    {
        public long Value { get; } = 1;
    }

    /// <summary>Does something again and again on a thread of its own.</summary>
    private sealed class Planted : IDisposable
    {
        private readonly Thread _thread;
        private volatile bool _isOver;

        public Planted(Action action)
        {
            _thread = new Thread(() =>
            {
                while (!_isOver)
                {
                    action();
                }
            });
            _thread.IsBackground = true;
            _thread.Start();
        }

        public void Dispose()
        {
            _isOver = true;
            _thread.Join();
        }
    }
}
