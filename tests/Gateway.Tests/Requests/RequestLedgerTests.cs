using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class RequestLedgerTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly EventFeed _feed;
    private readonly EventBursts _bursts;
    private readonly RequestLedger _ledger;

    public RequestLedgerTests()
    {
        _feed = new EventFeed(_time);
        _bursts = new EventBursts(_feed, _time);
        _ledger = new RequestLedger(_bursts, _time);
    }

    public void Dispose() => _bursts.Dispose();

    [Fact]
    public void Enter_ToTheEnd_TellsEachStage()
    {
        var progress = _ledger.Enter(Request(), () => { });
        Assert.Equal(RequestStage.Queued, _ledger.Current(9).Single().Stage);
        progress.Granted("m/0", TimeSpan.FromSeconds(1));
        progress.Requeued();
        Assert.Equal((RequestStage.Queued, null), (_ledger.Current(9).Single().Stage, _ledger.Current(9).Single().Backend));
        Assert.Equal(EventKind.Reschedule, _feed.Last(1)[0].Kind);
        progress.Granted("m/1", TimeSpan.FromSeconds(2));
        _time.Advance(TimeSpan.FromSeconds(3));
        progress.Ended(RequestOutcome.Ok, 200);
        progress.Granted("m/2", TimeSpan.Zero); // too late to count
        progress.Dispose();
        progress.Dispose();

        Assert.Empty(_ledger.Current(9));
        var facts = _ledger.Recent(9).Single();
        Assert.Equal(("m/1", 2, RequestOutcome.Ok, TimeSpan.FromSeconds(3)), (facts.Backend, facts.Attempts, facts.Outcome, facts.Took));
    }

    [Fact]
    public void Recent_ManyHaveEnded_HoldsTheLastOnes()
    {
        for (var i = 0; i < RequestLedger.Remembered + 5; i++)
        {
            _ledger.Enter(Request(), () => { }).Dispose();
        }

        Assert.Equal(RequestLedger.Remembered, _ledger.Recent(int.MaxValue).Length);
        Assert.Equal(RequestLedger.Remembered + 5, _ledger.Recent(1)[0].Number);
    }

    [Fact]
    public void Cancel_AnId_EndsAllThatCarryIt()
    {
        var cancelled = 0;
        var request = Request();
        var first = _ledger.Enter(request, () => cancelled++);
        var second = _ledger.Enter(request, () => cancelled++);
        Assert.Empty(_ledger.Cancel("another"));
        var ends = _ledger.Cancel(request.Id);
        Assert.Equal(2, cancelled);
        first.Dispose();
        Assert.Equal([true, false], ends.Select(end => end.IsCompleted));
        second.Dispose();
        Assert.All(ends, end => Assert.True(end.IsCompletedSuccessfully));
        Assert.True(second.CancelAsync().IsCompletedSuccessfully);
    }

    private InferenceRequest Request(bool stream = true) => Asked.Of(Configured.Model(), arrivedAt: _time.GetTimestamp(), stream: stream);
}
