using CsCheck;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Operations.History;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Operations;

public sealed class HistoryTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly EventBursts _bursts;
    private readonly RequestLedger _ledger;
    private readonly TrafficHistory _traffic;

    public HistoryTests()
    {
        _bursts = new EventBursts(new EventFeed(_time), _time);
        _ledger = new RequestLedger(_bursts, _time);
        _traffic = new TrafficHistory(_ledger, _time);
    }

    public void Dispose()
    {
        _traffic.Dispose();
        _bursts.Dispose();
    }

    // Against the plainest model of it: a dictionary of all steps.
    [Fact]
    public void TimeRing_AnySequence_HoldsWhatADictionaryWouldHold() =>
        Gen.Select(Gen.Int[0, 40], Gen.Int[-100, 3]).Array[1, 60].Sample(moves =>
        {
            var ring = new TimeRing<int>();
            var all = new Dictionary<long, int>();
            var now = 1_000L;
            foreach (var (ahead, offset) in moves)
            {
                now += ahead;
                ring.Change(now + offset, now, 1, static (value, more) => value + more);
                if (offset <= 0 && offset > -TimeRing<int>.Steps)
                {
                    all[now + offset] = all.GetValueOrDefault(now + offset) + 1;
                }
            }

            Assert.Equal(Enumerable.Range(0, TimeRing<int>.Steps).Select(i => all.GetValueOrDefault(now - TimeRing<int>.Steps + 1 + i)), ring.Read(now));
        });

    [Fact]
    public void Traffic_AStream_IsCountedAsItComes()
    {
        var progress = _ledger.Enter(Request(), () => { });
        progress.Granted("m/0", TimeSpan.Zero);
        _time.Advance(TimeSpan.FromMilliseconds(500));
        progress.FirstToken();
        Come(progress, 40);
        _traffic.Look();
        _time.Advance(TimeSpan.FromSeconds(10));
        Come(progress, 30);
        _traffic.Look();
        progress.Tokens(10, 100); // as the backend has counted: 30 more, in fewer pieces
        progress.Ended(RequestOutcome.Ok, 200);
        progress.Dispose();

        foreach (var name in new[] { "m", "m/0" })
        {
            var report = _traffic.Report(name)!;
            Assert.Equal([4, 6], report.TokensPerSecond[^2..]);
            Assert.Equal(500, report.FirstTokenMs[^2]);
            Assert.Null(report.FirstTokenMs[^1]);
            Assert.Equal((1, 0), (report.Requests[^1], report.Failures[^1]));
        }

        static void Come(RequestProgress progress, int pieces)
        {
            for (var i = 0; i < pieces; i++)
            {
                progress.Came();
            }
        }
    }

    [Fact]
    public void Traffic_AnAnswerInOnePiece_CameOverAllItsTime()
    {
        var progress = _ledger.Enter(Request(stream: false), () => { });
        progress.Granted("m/0", TimeSpan.Zero);
        _time.Advance(TimeSpan.FromSeconds(20));
        progress.Tokens(10, 300);
        progress.Ended(RequestOutcome.Ok, 200);
        progress.Dispose();
        Assert.Equal([10, 10, 10], _traffic.Report("m/0")!.TokensPerSecond[^3..]);
    }

    [Fact]
    public void Traffic_OfAQuarterOfAnHourAgo_IsForgotten()
    {
        var progress = _ledger.Enter(Request(stream: false), () => { });
        progress.Ended(RequestOutcome.BackendError, 502);
        progress.Dispose();
        Assert.Equal(1, _traffic.Report("m")!.Failures[^1]);
        _time.Advance(TimeSpan.FromMinutes(15) + TimeSpan.FromSeconds(10));
        Assert.Null(_traffic.Report("m"));
    }

    [Fact]
    public void Health_WithinAStep_TheWorstCounts()
    {
        var registry = new BackendRegistry();
        registry.Add("m");
        using var health = new HealthHistory(registry, _time);
        health.Start();
        foreach (var state in new[] { ReplicaState.Ready, ReplicaState.Backoff, ReplicaState.Loading, ReplicaState.Ready })
        {
            registry.Report("m", new BackendEntry("m/0", BackendCondition.Coming, null, 0, new ReplicaStatus { Model = "m", Index = 0, State = state }, null));
        }

        Assert.EndsWith(" D", health.Report("m/0"), StringComparison.Ordinal);
        _time.Advance(TimeSpan.FromSeconds(10));
        health.Add(registry.Snapshot("m"));
        Assert.EndsWith(" Dr", health.Report("m/0"), StringComparison.Ordinal);
        health.Keep(new HashSet<string>());
        Assert.Null(health.Report("m/0"));
    }

    private InferenceRequest Request(bool stream = true) => Asked.Of(Configured.Model(), arrivedAt: _time.GetTimestamp(), stream: stream);
}
