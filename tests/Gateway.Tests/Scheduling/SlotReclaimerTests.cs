using System.Threading.Channels;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.TestKit;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class SlotReclaimerTests
{
    private static readonly int[] Quick = [0, 10, 10, 15, 25, 40, 150, 1000];

    private readonly FakeTimeProvider _time = new();
    private readonly FakeCensus _census = new();
    private readonly Backend _backend = Servers.Backend();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Watch_BusySlot_LooksQuicklyThenSlowlyUntilItIsFree()
    {
        using var queue = await AbandonedAsync();
        var start = _time.GetTimestamp();
        foreach (var wait in Quick.Concat([3000, 3000, 3000]))
        {
            if (wait > 0)
            {
                _time.Advance(TimeSpan.FromMilliseconds(wait - 1));
                Assert.False(_census.Looks.TryRead(out _));
                _time.Advance(TimeSpan.FromMilliseconds(1));
            }

            (await _census.LookAsync()).SetResult(1);
            await _census.AnsweredAsync();
        }

        Assert.Equal(1, queue.Status().Slots[0].Quarantined);
        _time.Advance(TimeSpan.FromSeconds(3));
        (await _census.LookAsync()).SetResult(0);
        using var lease = await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model())), Ct);
        Assert.True(lease.IsAcquired);
        Assert.Equal(TimeSpan.FromMilliseconds(13_250), _time.GetElapsedTime(start));

        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.False(_census.Looks.TryRead(out _));
    }

    [Theory]
    [InlineData(typeof(HttpRequestException))]
    [InlineData(typeof(IOException))]
    [InlineData(typeof(InvalidOperationException))]
    [InlineData(typeof(TaskCanceledException))]
    public async Task Watch_UnansweredLook_IsSurvived(Type failure)
    {
        using var queue = await AbandonedAsync();
        (await _census.LookAsync()).SetException((Exception)Activator.CreateInstance(failure)!);
        await _census.AnsweredAsync();
        _time.Advance(TimeSpan.FromMilliseconds(Quick[1]));
        (await _census.LookAsync()).SetResult(0);
        await LeaveAsync(queue);
    }

    [Fact]
    public async Task Watch_LookThatNeverEnds_IsGivenUpAfterTwoSeconds()
    {
        using var queue = await AbandonedAsync();
        _ = await _census.LookAsync();
        _time.Advance(TimeSpan.FromSeconds(2));
        await _census.AnsweredAsync();
        _time.Advance(TimeSpan.FromMilliseconds(Quick[1]));
        (await _census.LookAsync()).SetResult(0);
        await LeaveAsync(queue);
    }

    [Fact]
    public async Task Watch_ServerThatDoesNotTell_OpensTheSlot()
    {
        using var queue = await AbandonedAsync();
        (await _census.LookAsync()).SetResult(null);
        await LeaveAsync(queue);
    }

    [Fact]
    public async Task Watch_BackendIsGone_Ends()
    {
        using var queue = await AbandonedAsync();
        _ = await _census.LookAsync();
        var gone = new TaskCompletionSource();
        using var registration = _backend.Gone.Register(gone.SetResult);
        _backend.MarkGone();
        await gone.Task.WaitAsync(Ct);
        await _census.AnsweredAsync();
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.False(_census.Looks.TryRead(out _));
        await Eventually.TrueAsync(() => queue.Status().Slots[0].Quarantined == 0, "its slots to be gone with it", Ct);
    }

    [Fact]
    public async Task Watch_BackendGoesInTheMomentThatASlotIsGivenUp_ClosesNoSlot()
    {
        // The slot is closed while the backend is there, and its watch begins when it is not.
        var reclaimer = new SlotReclaimer(_census, _time, NullLogger<SlotReclaimer>.Instance);
        using var queue = new ModelQueue(Configured.Model(), _time, new Random(1), TestMeters.Scheduling(), (queue, slots) =>
        {
            _backend.MarkGone();
            reclaimer.Watch(queue, slots);
        });
        queue.Update(Servers.Snapshot(Servers.Entry(_backend, 1)));
        await LeaveAsync(queue);
        Assert.Equal(0, queue.Status().Slots[0].Quarantined);
    }

    [Fact]
    public async Task Watch_AnotherSlotIsGivenUp_LooksQuicklyAgainInTheSameWatch()
    {
        using var queue = await AbandonedAsync(slots: 2, give: 2, keep: 1);
        foreach (var wait in Quick)
        {
            _time.Advance(TimeSpan.FromMilliseconds(wait));
            (await _census.LookAsync()).SetResult(2);
            await _census.AnsweredAsync();
        }

        _time.Advance(TimeSpan.FromSeconds(1));
        _kept!.Dispose();
        (await _census.LookAsync()).SetResult(2);
        await _census.AnsweredAsync();
        _time.Advance(TimeSpan.FromMilliseconds(Quick[1]));
        (await _census.LookAsync()).SetResult(0);
        (await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: 2)), Ct)).Dispose();
        Assert.Equal(1, _census.MostAtOnce);
    }

    [Theory]
    [InlineData(1, 10)]
    [InlineData(300, 25)]
    public async Task Watch_NextClientLeavesAtOnce_LooksNoSoonerThanTheServerCanBearIt(int slots, int leastBetween)
    {
        using var queue = await AbandonedAsync(slots, each: slots);
        (await _census.LookAsync()).SetResult(0);
        await LeaveAsync(queue, slots);
        _time.Advance(TimeSpan.FromMilliseconds(leastBetween - 1));
        Assert.False(_census.Looks.TryRead(out _));

        _time.Advance(TimeSpan.FromMilliseconds(1));

        (await _census.LookAsync()).SetResult(0);
        await LeaveAsync(queue, slots);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(4, 1)]
    [InlineData(1, 9)]
    public async Task Watch_ManyLeaveAServerWithPlentyOfSlots_LooksEightTimesASecondUntilTheyAreWanted(int requests, int slotsOfEach)
    {
        const int Slots = 9;
        using var queue = await AbandonedAsync(Slots);
        for (var i = 0; i < Quick.Length; i++)
        {
            (await _census.LookAsync()).SetResult(0);
            await _census.AnsweredAsync();
            _time.Advance(TimeSpan.FromMilliseconds(20));
            await LeaveAsync(queue);
        }

        // The eight were at 0, 20, … and 140 ms; another one has left at 160.
        _time.Advance(TimeSpan.FromMilliseconds(839));
        Assert.False(_census.Looks.TryRead(out _));
        for (var i = 0; i < requests; i++)
        {
            _ = queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: slotsOfEach)), Ct).AsTask();
        }

        _time.Advance(TimeSpan.FromMilliseconds(requests > 0 ? 0 : 1));
        _ = await _census.LookAsync();
    }

    private static async Task LeaveAsync(ModelQueue queue, int slots = 1) =>
        (await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: slots)), Ct)).Dispose();

    private SlotLease? _kept;

    private async Task<ModelQueue> AbandonedAsync(int slots = 1, int give = 1, int keep = 0, int each = 1)
    {
        var reclaimer = new SlotReclaimer(_census, _time, NullLogger<SlotReclaimer>.Instance);
        var queue = new ModelQueue(
            Configured.Model(queue: new QueueOptions { Timeout = TimeSpan.FromHours(1) }), _time, new Random(1), TestMeters.Scheduling(), reclaimer.Watch);
        queue.Update(Servers.Snapshot(Servers.Entry(_backend, slots)));
        for (var i = 0; i < give; i++)
        {
            var lease = await queue.AcquireAsync(new QueueTicket(Asked.Of(Configured.Model(), slots: each)), Ct);
            if (i < give - keep)
            {
                lease.Dispose();
            }
            else
            {
                _kept = lease;
            }
        }

        return queue;
    }

    /// <summary>A server whose answers a test gives.</summary>
    private sealed class FakeCensus : ISlotCensus
    {
        private readonly Channel<TaskCompletionSource<int?>> _looks = Channel.CreateUnbounded<TaskCompletionSource<int?>>();
        private readonly Channel<bool> _answered = Channel.CreateUnbounded<bool>();
        private int _now;

        public ChannelReader<TaskCompletionSource<int?>> Looks => _looks.Reader;

        public int MostAtOnce { get; private set; }

        public async Task<int?> BusyAsync(Backend backend, CancellationToken cancellationToken)
        {
            // Continues inline: when the answer is given, what follows from it is done, up to the next wait.
            var answer = new TaskCompletionSource<int?>();
            MostAtOnce = Math.Max(MostAtOnce, Interlocked.Increment(ref _now));
            _looks.Writer.TryWrite(answer);
            try
            {
                return await answer.Task.WaitAsync(cancellationToken);
            }
            finally
            {
                Interlocked.Decrement(ref _now);
                _answered.Writer.TryWrite(true);
            }
        }

        public async Task<TaskCompletionSource<int?>> LookAsync() => await _looks.Reader.ReadAsync(Ct);

        public async Task AnsweredAsync() => await _answered.Reader.ReadAsync(Ct);
    }
}
