using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Shedding;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class SaturationTests
{
    private readonly Saturation _saturation = new();
    private double _now;

    [Fact]
    public void FiveTimesSlower_IsSeenWithinTenSecondsAndTakesSlotAfterSlot()
    {
        Serve(seconds: 60, perToken: 0.02);
        Assert.Equal(0, _saturation.Less);
        Serve(seconds: 10, perToken: 0.1);
        Assert.Equal(1, _saturation.Less);
        Serve(seconds: 60, perToken: 0.1);
        Assert.Equal(3, _saturation.Less);
    }

    [Fact]
    public void Noise_AndMoreNeighbours_AreNoSign()
    {
        var random = new Random(1);
        for (var i = 0; i < 2000; i++)
        {
            // Four beside each other take 1.7 times as long each, as the real one does, and all of it wavers.
            var beside = random.Next(4);
            _saturation.Record(100 * 0.02 * (1 + (0.25 * beside)) * (0.9 + (0.4 * random.NextDouble())), 100, beside);
            Look(1);
        }

        Assert.Equal(0, _saturation.Less);
    }

    [Fact]
    public void AnswersOfAllLengths_InTheSameTime_AreNoSign()
    {
        // Short answers seem slow: what they take besides their tokens is shared by few.
        var random = new Random(1);
        for (var i = 0; i < 100_000; i++)
        {
            _saturation.Record(0.2, random.Next(3, 32), random.Next(4));
            _saturation.RecordFirst(0.2 / random.Next(3, 32), random.Next(64), 3);
            Look(0.05);
            Assert.Equal(0, _saturation.Less);
        }
    }

    [Fact]
    public void FirstTokens_FiveTimesSlower_AreSeenWithinTenSeconds()
    {
        for (var i = 0; i < 60; i++)
        {
            _saturation.RecordFirst(0.5 + (0.001 * (i % 7) * 100), 500 + (i % 7 * 100), 2);
            Look(1);
        }

        Assert.Equal(0, _saturation.Less);
        for (var i = 0; i < 10; i++)
        {
            _saturation.RecordFirst(5 * (0.5 + (0.001 * (i % 7) * 100)), 500 + (i % 7 * 100), 2);
            Look(1);
        }

        Assert.Equal(1, _saturation.Less);
    }

    [Fact]
    public void ASingleSlowAnswer_IsNoSign()
    {
        Serve(seconds: 60, perToken: 0.02);
        Serve(seconds: 1, perToken: 0.2);
        Serve(seconds: 60, perToken: 0.02);
        Assert.Equal(0, _saturation.Less);
    }

    [Fact]
    public void Calm_GivesSlotsBackOneByOne()
    {
        Serve(seconds: 60, perToken: 0.02);
        Serve(seconds: 40, perToken: 0.1);
        var less = _saturation.Less;
        Serve(seconds: 45, perToken: 0.02);
        Assert.Equal(less - 1, _saturation.Less);
        Serve(seconds: 90, perToken: 0.02);
        Assert.Equal(0, _saturation.Less);
    }

    [Fact]
    public void Faults_ThreeInTen_AreASign()
    {
        _saturation.Look(4, 0.29, TimeSpan.FromSeconds(1));
        Assert.Equal(0, _saturation.Less);
        _saturation.Look(4, 0.31, TimeSpan.FromSeconds(2));
        Assert.Equal(1, _saturation.Less);
    }

    [Fact]
    public void OneSlot_IsNeverTaken()
    {
        for (var i = 0; i < 100; i++)
        {
            _saturation.Look(1, 1, TimeSpan.FromSeconds(20 * i));
        }

        Assert.Equal(0, _saturation.Less);
    }

    [Fact]
    public async Task Queue_SlowBackend_IsGivenLessAndBatchMayNotWait()
    {
        var time = new FakeTimeProvider();
        var model = Configured.Model(queue: new QueueOptions { Timeout = TimeSpan.FromHours(1) });
        using var queue = new ModelQueue(model, time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(), 4)));
        foreach (var perToken in new[] { 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.1, 0.1, 0.1 })
        {
            using var lease = await AskAsync(Priority.Normal);
            lease.MarkFirstToken(TimeSpan.Zero);
            time.Advance(TimeSpan.FromSeconds(100 * perToken));
            lease.Spend(10, 0, 101);
            lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        }

        Assert.Equal((3, 1), (queue.Status().Slots[0].Usable, queue.Status().Breakers[0].SaturatedSlots));
        for (var i = 0; i < 3; i++)
        {
            Assert.True((await AskAsync(Priority.Batch)).IsAcquired);
        }

        Assert.Equal("queue_full", (await AskAsync(Priority.Batch)).Refusal?.Code);
        Assert.False(AskAsync(Priority.Low).IsCompleted);

        Task<SlotLease> AskAsync(Priority priority) => queue.AcquireAsync(new QueueTicket(Asked.Of(model, priority: priority)), CancellationToken.None).AsTask();
    }

    private void Serve(int seconds, double perToken)
    {
        for (var i = 0; i < seconds; i++)
        {
            _saturation.Record(100 * perToken, 100, 2);
            Look(1);
        }
    }

    private void Look(double after) => _saturation.Look(4, 0, TimeSpan.FromSeconds(_now += after));
}
