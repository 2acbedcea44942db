using System.Collections.Immutable;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

/// <summary>Who is refused on arrival because he would wait too long.</summary>
public sealed class DeadlineTests : IDisposable
{
    private const int Slots = 4;

    private static readonly Model Model = Configured.Model(queue: new QueueOptions { MaxDepth = 1000, Timeout = TimeSpan.FromMilliseconds(500) });

    private readonly FakeTimeProvider _time = new();
    private readonly ModelQueue _queue;

    public DeadlineTests()
    {
        _queue = new ModelQueue(Model, _time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        _queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(), Slots)));
    }

    [Fact]
    public async Task Arrival_NothingKnownYet_MayWait()
    {
        var held = await HoldAsync(Slots);
        Assert.Equal(100, Enumerable.Range(0, 100).Count(_ => !Ask().IsCompleted));
        Assert.Equal(Slots, held.Count);
    }

    [Fact]
    public async Task Arrival_WaitBeyondTheTimeout_IsRefusedAtOnce()
    {
        await LearnAsync(TimeSpan.FromMilliseconds(200));
        await HoldAsync(Slots);

        // Each round of four takes 200 ms: who comes ninth waits 600 ms.
        var answers = Enumerable.Range(0, 20).Select(_ => Ask()).ToArray();
        Assert.Equal([.. Enumerable.Repeat(false, 8), .. Enumerable.Repeat(true, 12)], answers.Select(answer => answer.IsCompleted));
        var refusals = (await Task.WhenAll(answers.Skip(8))).Select(lease => lease.Refusal!).ToArray();
        Assert.All(refusals, refusal => Assert.Equal((429, "deadline_unreachable"), (refusal.Status, refusal.Code)));
        Assert.InRange(refusals[0].RetryAfter!.Value.TotalSeconds, 1, 1.2);
        Assert.Equal(8, _queue.Status().Depth);
        Assert.Equal(600, _queue.Status().PredictedWait.TotalMilliseconds, 3);
    }

    [Fact]
    public async Task Arrival_HigherBand_CountsOnlyWhoIsBeforeIt()
    {
        await LearnAsync(TimeSpan.FromMilliseconds(200));
        await HoldAsync(Slots);
        var answers = Enumerable.Range(0, 9).Select(_ => Ask()).ToArray();
        Assert.True(answers[8].IsCompleted);
        Assert.False(Ask(priority: Priority.High).IsCompleted);
        Assert.True(Ask(priority: Priority.Batch).IsCompleted);
    }

    [Fact]
    public async Task Arrival_LightKey_IsNotRefusedForTheHogsLine()
    {
        await LearnAsync(TimeSpan.FromMilliseconds(200));
        await HoldAsync(Slots);
        while (!Ask(key: "hog").IsCompleted)
        {
        }

        Assert.False(Ask(key: "light").IsCompleted);
    }

    [Fact]
    public async Task Arrival_OwnLimitShorterThanTheWait_IsRefusedAtOnce()
    {
        await LearnAsync(TimeSpan.FromMilliseconds(200));
        await HoldAsync(Slots);
        Assert.Equal("deadline_unreachable", (await Ask(within: 150)).Refusal?.Code);
        Assert.False(Ask(within: 250).IsCompleted);
    }

    [Fact]
    public async Task Arrival_PromptAloneTakesTooLong_IsRefusedThoughSlotsAreFree()
    {
        // 1,000 prompt tokens a second, and nothing else.
        foreach (var tokens in new[] { 100, 400, 1000 })
        {
            await LearnAsync(TimeSpan.FromSeconds(2), tokens, TimeSpan.FromMilliseconds(tokens));
        }

        Assert.Equal("deadline_unreachable", (await Ask(within: 1000, bytes: 40_000)).Refusal?.Code);
        Assert.True((await Ask(within: 1000, bytes: 400)).IsAcquired);
        Assert.True((await Ask(bytes: 40_000)).IsAcquired);
    }

    [Fact]
    public async Task Arrival_PromptThatAServerHasRead_IsNotCountedAsUnread()
    {
        foreach (var tokens in new[] { 100, 400, 1000 })
        {
            await LearnAsync(TimeSpan.FromSeconds(2), tokens, TimeSpan.FromMilliseconds(tokens));
        }

        ImmutableArray<PrefixLink> chain = [new(1, 20_000), new(2, 39_000), new(3, 40_000)];
        var first = await _queue.AcquireAsync(new QueueTicket(Asked.Of(Model, bytes: 39_000, prefix: chain[..2])), CancellationToken.None);
        End(first);
        var again = Asked.Of(Model, bytes: 40_000, prefix: chain, within: TimeSpan.FromSeconds(1), arrivedAt: _time.GetTimestamp());
        Assert.True((await _queue.AcquireAsync(new QueueTicket(again), CancellationToken.None)).IsAcquired);
    }

    [Fact]
    public async Task Slot_OfAServerThatMustReadTheWholePrompt_IsForOthers()
    {
        foreach (var tokens in new[] { 100, 400, 1000 })
        {
            await LearnAsync(TimeSpan.FromMilliseconds(200), tokens, TimeSpan.FromMilliseconds(tokens));
        }

        _queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(0), 1), Servers.Entry(Servers.Backend(1), 1)));
        ImmutableArray<PrefixLink> chain = [new(1, 20_000), new(2, 39_000), new(3, 40_000)];
        var first = await _queue.AcquireAsync(new QueueTicket(Asked.Of(Model, bytes: 39_000, prefix: chain[..2])), CancellationToken.None);
        var warm = first.Backend;
        End(first);
        var held = await HoldAsync(2);

        // 10,000 tokens take ten seconds, the 250 that the one server has not read a quarter of one.
        var hurried = Hurried();
        var patient = Ask();
        End(held.Find(lease => lease.Backend != warm)!);
        var other = await patient.WaitAsync(TestContext.Current.CancellationToken);
        Assert.False(hurried.IsCompleted);
        End(held.Find(lease => lease.Backend == warm)!);
        Assert.Equal(warm, (await hurried.WaitAsync(TestContext.Current.CancellationToken)).Backend);

        // Nor does it take such a slot when it comes and finds it free.
        End(other);
        var next = Hurried();
        Assert.False(next.IsCompleted);
        End(await hurried);
        Assert.Equal(warm, (await next.WaitAsync(TestContext.Current.CancellationToken)).Backend);

        Task<SlotLease> Hurried() => _queue.AcquireAsync(
            new QueueTicket(Asked.Of(Model, bytes: 40_000, prefix: chain, within: TimeSpan.FromSeconds(1), arrivedAt: _time.GetTimestamp())), CancellationToken.None).AsTask();
    }

    [Fact]
    public async Task Slot_OfTheServerThatReadThePrompt_IsNoneAnyMore_RefusesWhomNoOtherServesInTime()
    {
        foreach (var tokens in new[] { 100, 400, 1000 })
        {
            await LearnAsync(TimeSpan.FromMilliseconds(200), tokens, TimeSpan.FromMilliseconds(tokens));
        }

        ImmutableArray<PrefixLink> chain = [new(1, 39_000)];
        End(await _queue.AcquireAsync(new QueueTicket(Asked.Of(Model, bytes: 39_000, prefix: chain)), CancellationToken.None));
        await HoldAsync(Slots);
        var hurried = _queue.AcquireAsync(
            new QueueTicket(Asked.Of(Model, bytes: 40_000, prefix: chain, within: TimeSpan.FromSeconds(1), arrivedAt: _time.GetTimestamp())), CancellationToken.None).AsTask();
        Assert.False(hurried.IsCompleted);

        // Another process in its place has read nothing.
        _queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(generation: 1), 1)));
        Assert.Equal("deadline_unreachable", (await hurried.WaitAsync(TestContext.Current.CancellationToken)).Refusal?.Code);
    }

    [Fact]
    public async Task Slot_ComesTooLateForThePrompt_GoesToTheNext()
    {
        foreach (var tokens in new[] { 100, 400, 1000 })
        {
            await LearnAsync(TimeSpan.FromMilliseconds(200), tokens, TimeSpan.FromMilliseconds(tokens));
        }

        var held = await HoldAsync(Slots);
        var hurried = Ask(within: 450, bytes: 800);
        var patient = Ask();
        Assert.False(hurried.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(300));
        End(held[0]);

        // 200 tokens take 200 ms, and only 150 are left: a slot would be wasted on it.
        Assert.Equal("deadline_unreachable", (await hurried.WaitAsync(TestContext.Current.CancellationToken)).Refusal?.Code);
        Assert.True((await patient.WaitAsync(TestContext.Current.CancellationToken)).IsAcquired);
    }

    [Fact]
    public async Task Slot_FreeAtTheVeryEndOfAWait_IsNotGivenToTheExpired()
    {
        var held = await HoldAsync(Slots);
        var waiting = Ask();

        // The timer has not fired yet when the slot comes.
        _time.SetUtcNow(_time.GetUtcNow() + TimeSpan.FromMilliseconds(500));
        End(held[0]);
        Assert.Equal("queue_timeout", (await waiting.WaitAsync(TestContext.Current.CancellationToken)).Refusal?.Code);
        Assert.Equal(Slots - 1, _queue.Status().Slots[0].Busy);
    }

    [Fact]
    public async Task Arrival_WaitsLateAgainAndAgain_AreAllowedFor()
    {
        await LearnAsync(TimeSpan.FromMilliseconds(200));
        for (var i = 0; i < 30; i++)
        {
            var held = await HoldAsync(Slots);
            var waiting = Ask();
            _time.Advance(TimeSpan.FromMilliseconds(260));
            foreach (var lease in held)
            {
                End(lease);
            }

            End(await waiting);
        }

        await HoldAsync(Slots);
        Assert.True(Ask(within: 240).IsCompleted);
        Assert.False(Ask(within: 350).IsCompleted);
    }

    public void Dispose() => _queue.Dispose();

    private Task<SlotLease> Ask(double? within = null, int bytes = 10, Priority priority = Priority.Normal, string? key = null) => _queue.AcquireAsync(
        new QueueTicket(Asked.Of(Model, bytes: bytes, priority: priority, within: within is { } limit ? TimeSpan.FromMilliseconds(limit) : null, arrivedAt: _time.GetTimestamp(), key: key)),
        CancellationToken.None).AsTask();

    /// <summary>Ends a lease in a way that tells nothing of how long answers take.</summary>
    private static void End(SlotLease lease)
    {
        lease.End(LeaseEnd.Finished, UpstreamOutcome.Client);
        lease.Dispose();
    }

    private async Task<List<SlotLease>> HoldAsync(int count)
    {
        var held = new List<SlotLease>();
        for (var i = 0; i < count; i++)
        {
            held.Add(await Ask());
        }

        return held;
    }

    /// <summary>Lets the queue see what serving takes.</summary>
    private async Task LearnAsync(TimeSpan hold, int prompt = 10, TimeSpan? firstToken = null)
    {
        for (var i = 0; i < 5; i++)
        {
            var lease = await Ask(bytes: prompt * 4);
            _time.Advance(hold);
            if (firstToken is { } after)
            {
                lease.MarkFirstToken(after);
                lease.Spend(prompt, 0, 10);
            }

            lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
            lease.Dispose();
        }
    }
}
