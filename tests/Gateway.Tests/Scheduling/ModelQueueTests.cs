using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Shedding;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class ModelQueueTests
{
    private static readonly QueueOptions Limits = new()
    {
        MaxDepth = 3,
        MaxBytes = ByteSize.FromMiB(1),
        Timeout = TimeSpan.FromSeconds(10),
        HoldWhileLoading = TimeSpan.FromSeconds(20),
    };

    private readonly FakeTimeProvider _time = new();
    private readonly List<BackendSlots> _watched = [];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Acquire_FreeSlot_IsGrantedAtOnce()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var lease = await queue.AcquireAsync(Ticket(), Ct);
        Assert.Equal(("m/0", 1, 0), (lease.Backend.Name, queue.Status().Slots[0].Busy, queue.Status().Depth));
    }

    [Theory]
    [InlineData(BackendCondition.Stopped, "no_backend")]
    [InlineData(BackendCondition.Failed, "model_loading_failed")]
    public async Task Acquire_NoneComing_Is503AtOnce(object condition, string code)
    {
        using var queue = Queue(Servers.None((BackendCondition)condition));
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        Assert.Equal((503, code), (lease.Refusal!.Status, lease.Refusal.Code));
        Assert.False(lease.IsAcquired);
        Assert.Throws<InvalidOperationException>(() => lease.Backend);
        lease.Dispose();
    }

    [Fact]
    public async Task Close_RefusesWhoWaitsAndWhoComes_AndKeepsWhatRuns()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var lease = await queue.AcquireAsync(Ticket(), Ct);
        var waiting = queue.AcquireAsync(Ticket(), Ct).AsTask();
        queue.Close(ApiErrors.ModelNotFound);
        Assert.Equal(404, (await waiting).Refusal?.Status);
        Assert.Equal(404, (await queue.AcquireAsync(Ticket(), Ct)).Refusal?.Status);
        Assert.Equal((1, 0), (queue.Status().Slots[0].Busy, queue.Status().Depth));
    }

    [Fact]
    public async Task Configure_OtherLimits_HoldForWhoWaitsToo()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var lease = await queue.AcquireAsync(Ticket(), Ct);
        var (first, second) = (queue.AcquireAsync(Ticket(), Ct).AsTask(), queue.AcquireAsync(Ticket(), Ct).AsTask());
        _time.Advance(TimeSpan.FromSeconds(5));
        queue.Configure(Configured.Model(queue: Limits with { Timeout = TimeSpan.FromMinutes(1), MaxDepth = 2 }));
        _time.Advance(TimeSpan.FromSeconds(50));
        Assert.False(first.IsCompleted || second.IsCompleted);
        Assert.Equal("queue_full", (await queue.AcquireAsync(Ticket(), Ct)).Refusal?.Code);
        queue.Configure(Configured.Model(queue: Limits with { Timeout = TimeSpan.FromSeconds(20) }));
        Assert.Equal("queue_timeout", (await first).Refusal?.Code);
    }

    [Fact]
    public async Task Hold_OnlyIfIdle_RefusesWhileSomethingRunsAndNeverGrantsAfterwards()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        var waiting = queue.AcquireAsync(Ticket(), Ct).AsTask();
        Assert.False(queue.Hold(onlyIfIdle: true));
        Assert.True(queue.Hold(onlyIfIdle: false));

        // What runs ends; who waits goes on waiting, and does not keep the model from being unloaded.
        Assert.False(queue.Hold(onlyIfIdle: true));
        lease.End(LeaseEnd.Finished);
        lease.Dispose();
        Assert.False(waiting.IsCompleted);
        Assert.True(queue.Hold(onlyIfIdle: true));
        queue.Resume();
        Assert.True((await waiting).IsAcquired);
    }

    [Fact]
    public async Task Hold_Idle_ANewcomerWaitsOnTheClockOfAModelThatLoads()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        Assert.True(queue.Hold(onlyIfIdle: true));
        var waiting = queue.AcquireAsync(Ticket(), Ct).AsTask();
        queue.Explain("it needs much");
        _time.Advance(TimeSpan.FromSeconds(19));
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("insufficient_memory", (await waiting).Refusal?.Code);
    }

    [Fact]
    public async Task Acquire_BeforeAnySnapshot_Is503()
    {
        using var queue = new ModelQueue(Configured.Model(queue: Limits), _time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        Assert.Equal(503, (await queue.AcquireAsync(Ticket(), Ct)).Refusal?.Status);
    }

    [Fact]
    public async Task Acquire_OneComing_IsHeldUntilItIsReady()
    {
        var backend = Servers.Backend();
        using var queue = Queue(Servers.None(BackendCondition.Coming));
        var waiting = queue.AcquireAsync(Ticket(), Ct).AsTask();
        _time.Advance(TimeSpan.FromSeconds(19));
        Assert.False(waiting.IsCompleted);
        queue.Update(Servers.Snapshot(Servers.Entry(backend, 1)));
        Assert.Same(backend, (await waiting.WaitAsync(Ct)).Backend);
    }

    [Fact]
    public async Task Acquire_OneComingForTooLong_Is503()
    {
        using var queue = Queue(Servers.None(BackendCondition.Coming));
        var waiting = queue.AcquireAsync(Ticket(), Ct).AsTask();
        _time.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal("no_backend", (await waiting.WaitAsync(Ct)).Refusal?.Code);
        Assert.Equal(0, queue.Status().Depth);
    }

    [Fact]
    public async Task Acquire_ComingOneGivesUp_AllWhoWaitAreToldAtOnce()
    {
        using var queue = Queue(Servers.None(BackendCondition.Coming));
        var waiting = new[] { queue.AcquireAsync(Ticket(), Ct).AsTask(), queue.AcquireAsync(Ticket(), Ct).AsTask() };
        queue.Update(Servers.Snapshot(Servers.None(BackendCondition.Failed)));
        Assert.All(await Task.WhenAll(waiting).WaitAsync(Ct), lease => Assert.Equal("model_loading_failed", lease.Refusal?.Code));
    }

    [Fact]
    public async Task Acquire_TheTwoClocks_CountApart()
    {
        var backend = Servers.Backend();
        using var queue = Queue(Servers.Entry(backend, 1));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        var ticket = Ticket();
        var waiting = queue.AcquireAsync(ticket, Ct).AsTask();

        _time.Advance(TimeSpan.FromSeconds(9));
        queue.Update(Servers.Snapshot(Servers.Entry(backend, 1, BackendCondition.Coming)));
        _time.Advance(TimeSpan.FromSeconds(19));
        queue.Update(Servers.Snapshot(Servers.Entry(backend, 1)));
        _time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.False(waiting.IsCompleted);
        Assert.Equal(TimeSpan.FromMilliseconds(28_999), queue.Status().OldestAge);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal("queue_timeout", (await waiting.WaitAsync(Ct)).Refusal?.Code);
        Assert.Equal((TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(19)), (ticket.WaitedReady, ticket.WaitedComing));
    }

    [Fact]
    public async Task Acquire_ClientsOwnLimit_IsCountedFromArrival()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        var arrivedAt = _time.GetTimestamp();
        _time.Advance(TimeSpan.FromMilliseconds(300));
        var waiting = queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), within: TimeSpan.FromMilliseconds(500), arrivedAt: arrivedAt)), Ct).AsTask();
        var other = queue.AcquireAsync(Ticket(), Ct).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(199));
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(429, (await waiting.WaitAsync(Ct)).Refusal?.Status);
        Assert.False(other.IsCompleted);
    }

    [Fact]
    public async Task Acquire_QueueFullByDepth_Is429WithRetryAfter()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        for (var i = 0; i < 3; i++)
        {
            _ = queue.AcquireAsync(Ticket(), Ct).AsTask();
        }

        var refusal = (await queue.AcquireAsync(Ticket(), Ct)).Refusal!;
        Assert.Equal((429, "queue_full"), (refusal.Status, refusal.Code));
        Assert.InRange(refusal.RetryAfter!.Value.TotalSeconds, 1, 30);
        Assert.Equal(3, queue.Status().Depth);
    }

    [Fact]
    public async Task Acquire_QueueFullByBytes_Is429AndRoomComesBack()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var held = await queue.AcquireAsync(Ticket(bytes: 900_000), Ct);
        using var leave = new CancellationTokenSource();
        var waiting = queue.AcquireAsync(Ticket(bytes: 600_000), leave.Token).AsTask();
        Assert.Equal("queue_full", (await queue.AcquireAsync(Ticket(bytes: 600_000), Ct)).Refusal?.Code);
        Assert.Equal(600_000, queue.Status().Bytes);
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.Equal((0, 0), (queue.Status().Depth, queue.Status().Bytes));
        Assert.False(queue.AcquireAsync(Ticket(bytes: 600_000), Ct).AsTask().IsCompleted);
    }

    [Fact]
    public async Task Acquire_AlreadyCancelled_LeavesNothingBehind()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await queue.AcquireAsync(Ticket(), new CancellationToken(canceled: true)));
        Assert.Equal(0, queue.Status().Depth);
    }

    [Fact]
    public async Task Cancel_FirstInLineThatDidNotFit_LetsTheNextOnesGo()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 2));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        using var leave = new CancellationTokenSource();
        var large = queue.AcquireAsync(Ticket(slots: 2), leave.Token).AsTask();
        var small = queue.AcquireAsync(Ticket(), Ct).AsTask();
        Assert.False(small.IsCompleted);
        await leave.CancelAsync();
        Assert.True((await small.WaitAsync(Ct)).IsAcquired);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => large);
    }

    [Fact]
    public async Task Expire_FirstInLineThatDidNotFit_LetsTheNextOnesGo()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 2));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        var large = queue.AcquireAsync(Ticket(slots: 2), Ct).AsTask();
        _time.Advance(TimeSpan.FromSeconds(5));
        var small = queue.AcquireAsync(Ticket(), Ct).AsTask();
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("queue_timeout", (await large.WaitAsync(Ct)).Refusal?.Code);
        Assert.True((await small.WaitAsync(Ct)).IsAcquired);
    }

    [Fact]
    public async Task Acquire_RequestThatFansOut_TakesItsSlotsInOneGrant()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(0), 4), Servers.Entry(Servers.Backend(1), 4));
        using var small = await queue.AcquireAsync(Ticket(), Ct);
        using var lease = await queue.AcquireAsync(Ticket(slots: 4), Ct);
        Assert.NotEqual(small.Backend, lease.Backend);
        Assert.Equal(4, lease.Slots);
        Assert.False(queue.AcquireAsync(Ticket(slots: 4), Ct).AsTask().IsCompleted);
    }

    [Fact]
    public async Task Acquire_FansOutBeyondWhatTheServerHas_TakesAllOfIt()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 2));
        using var lease = await queue.AcquireAsync(Ticket(slots: 5), Ct);
        Assert.Equal(2, lease.Slots);
    }

    [Fact]
    public async Task Requeue_AfterABackendsDeath_GoesBackToItsPlace()
    {
        var backend = Servers.Backend();
        using var queue = Queue(Servers.Entry(backend, 1));
        var first = Ticket();
        var lease = await queue.AcquireAsync(first, Ct);
        var later = queue.AcquireAsync(Ticket(), Ct).AsTask();
        queue.Update(Servers.Snapshot(Servers.None(BackendCondition.Coming)));
        lease.End(LeaseEnd.BackendGone);
        lease.Dispose();

        var again = queue.AcquireAsync(first, Ct).AsTask();
        queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(generation: 1), 1)));
        Assert.True((await again.WaitAsync(Ct)).IsAcquired);
        Assert.False(later.IsCompleted);
    }

    [Fact]
    public async Task Requeue_FullQueue_IsTakenBackAllTheSame()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        var first = Ticket();
        var lease = await queue.AcquireAsync(first, Ct);
        var others = Enumerable.Range(0, 3).Select(_ => queue.AcquireAsync(Ticket(), Ct).AsTask()).ToArray();
        lease.Dispose();
        Assert.False(queue.AcquireAsync(first, Ct).AsTask().IsCompleted);
        Assert.Equal(4, queue.Status().Depth);
        Assert.DoesNotContain(others, other => other.IsCompleted);
    }

    [Fact]
    public async Task Release_Abandoned_ClosesTheSlotUntilItIsSettled()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 2));
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        using var other = await queue.AcquireAsync(Ticket(), Ct);
        other.MarkStarted();
        var waiting = queue.AcquireAsync(Ticket(), Ct).AsTask();
        lease.Dispose();
        Assert.Equal(new SlotStatus("m/0", 2, 1, 1) { Usable = 2, LimitedBecause = "Given up and not yet seen idle: 1 of its 2 slots." }, queue.Status().Slots[0]);
        var slots = Assert.Single(_watched);

        Assert.Equal(1, queue.Settle(slots, 2));
        Assert.False(waiting.IsCompleted);
        Assert.Equal(0, queue.Settle(slots, 1));
        Assert.True((await waiting.WaitAsync(Ct)).IsAcquired);
    }

    [Fact]
    public async Task Settle_LeaseThatMayNotHaveBegun_IsNotTakenForTheBusySlot()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 2));
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        using var fresh = await queue.AcquireAsync(Ticket(), Ct);
        lease.Dispose();
        Assert.Equal(1, queue.Settle(_watched[0], 1));
        _time.Advance(TimeSpan.FromMilliseconds(501));
        Assert.Equal(0, queue.Settle(_watched[0], 1));
    }

    [Theory]
    [InlineData(LeaseEnd.Finished)]
    [InlineData(LeaseEnd.BackendGone)]
    public async Task Release_BackendHasLetGo_OpensTheSlotAtOnce(object end)
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        lease.End((LeaseEnd)end);
        lease.Dispose();
        Assert.Equal(new SlotStatus("m/0", 1, 0, 0) { Usable = 1 }, queue.Status().Slots[0]);
        Assert.Empty(_watched);
    }

    [Fact]
    public async Task Release_AbandonedOnAServerThatDoesNotTellItsSlots_OpensTheSlotAtOnce()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(hasSlots: false), 1));
        (await queue.AcquireAsync(Ticket(), Ct)).Dispose();
        Assert.Equal(0, queue.Status().Slots[0].Quarantined);
    }

    [Fact]
    public async Task Dispose_LeaseFromManyThreads_IsReleasedOnce()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 4));
        using var other = await queue.AcquireAsync(Ticket(), Ct);
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        Parallel.For(0, 16, _ => lease.Dispose());
        Assert.Equal(1, queue.Status().Slots[0].Busy);
    }

    [Fact]
    public async Task WhenIdle_LeasesOfThatBackend_AreWaitedFor()
    {
        var backend = Servers.Backend();
        using var queue = Queue(Servers.Entry(backend, 2));
        Assert.True(queue.WhenIdle(backend).IsCompleted);
        Assert.True(queue.WhenIdle(Servers.Backend(5)).IsCompleted);
        var a = await queue.AcquireAsync(Ticket(), Ct);
        var b = await queue.AcquireAsync(Ticket(), Ct);
        queue.Update(Servers.Snapshot(Servers.Entry(backend, 2, BackendCondition.Stopped)));
        var idle = queue.WhenIdle(backend);
        a.Dispose();
        Assert.False(idle.IsCompleted);
        b.Dispose();
        await idle.WaitAsync(Ct);
    }

    [Fact]
    public async Task WhenIdle_BackendThatHasLeftTheSnapshot_IsStillKnown()
    {
        var backend = Servers.Backend();
        using var queue = Queue(Servers.Entry(backend, 1));
        var lease = await queue.AcquireAsync(Ticket(), Ct);
        queue.Update(Servers.Snapshot(Servers.None(BackendCondition.Coming)));
        var idle = queue.WhenIdle(backend);
        Assert.False(idle.IsCompleted);
        lease.Dispose();
        await idle.WaitAsync(Ct);
    }

    [Fact]
    public async Task WasAlone_AnotherOneComes_IsForgotten()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 2));
        using var first = await queue.AcquireAsync(Ticket(), Ct);
        Assert.True(first.WasAlone);
        (await queue.AcquireAsync(Ticket(), Ct)).Dispose();
        Assert.False(first.WasAlone);
    }

    [Fact]
    public async Task Status_WhoWaits_IsCountedByBand()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        using var held = await queue.AcquireAsync(Ticket(), Ct);
        _ = queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), priority: Priority.Batch)), Ct).AsTask();
        _ = queue.AcquireAsync(Ticket(), Ct).AsTask();
        Assert.Equal([0, 1, 0, 1], queue.Status().Bands.Select(band => band.Depth));
    }

    [Theory]
    [InlineData(0, 1, 1.2)]
    [InlineData(1.1, 1, 1.32)]
    [InlineData(10, 8, 12)]
    [InlineData(29, 23.2, 30)]
    [InlineData(3600, 24, 30)]
    public void RetryAfter_AnyWait_IsSpreadWithinItsBounds(double wait, double least, double most)
    {
        Assert.Equal(least, WaitForecast.RetryAfter(TimeSpan.FromSeconds(wait), 0).TotalSeconds, 6);
        Assert.Equal(most, WaitForecast.RetryAfter(TimeSpan.FromSeconds(wait), 1).TotalSeconds, 6);
    }

    [Fact]
    public async Task Acquire_MoreChoicesThanAnyBackendHasSlots_GoesToOneThatSaysSo()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(0), 1), Servers.Entry(Servers.Backend(1), 2));
        using var lease = await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: 2, choices: 3)), Ct);
        Assert.True(lease.IsAcquired);
    }

    [Fact]
    public async Task Acquire_MoreChoicesThanABackendHasSlots_WaitsForOneThatHasThem()
    {
        var (small, large) = (Servers.Backend(0), Servers.Backend(1));
        using var queue = Queue(Servers.Entry(small, 2), Servers.Entry(large, 4));
        using var first = await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: 4, choices: 4)), Ct);
        Assert.Same(large, first.Backend);
        var second = queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: 4, choices: 4)), Ct);
        Assert.False(second.IsCompleted);

        // A list can be worked on bit by bit, choices can't.
        using var list = await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: 4)), Ct);
        Assert.Same(small, list.Backend);
        first.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        first.Dispose();
        Assert.Same(large, (await second).Backend);
    }

    [Fact]
    public async Task RetryAfter_LongHolds_GrowsWithThemWithinItsBounds()
    {
        using var queue = Queue(Servers.Entry(Servers.Backend(), 1));
        for (var i = 0; i < 5; i++)
        {
            var lease = await queue.AcquireAsync(Ticket(), Ct);
            _time.Advance(TimeSpan.FromHours(1));
            lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
            lease.Dispose();
        }

        queue.Update(Servers.Snapshot(Servers.None(BackendCondition.Stopped)));
        Assert.InRange((await queue.AcquireAsync(Ticket(), Ct)).Refusal!.RetryAfter!.Value, TimeSpan.FromSeconds(24), TimeSpan.FromSeconds(30));
    }

    private static QueueTicket Ticket(int slots = 1, int bytes = 10) => new(Asked.Of(Configured.Model(), slots, bytes));

    private ModelQueue Queue(params ReadOnlySpan<BackendEntry> entries)
    {
        var queue = new ModelQueue(Configured.Model(queue: Limits), _time, new Random(1), TestMeters.Scheduling(), (_, slots) => _watched.Add(slots));
        queue.Update(Servers.Snapshot([.. entries]));
        return queue;
    }
}
