using CsCheck;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

/// <summary>Who is next: bands, keys, arrival.</summary>
public sealed class FairOrderTests : IDisposable
{
    private static readonly Model Model = Configured.Model(queue: new QueueOptions { MaxDepth = 10_000, MaxDepthPerKey = 5000, Timeout = TimeSpan.FromHours(1) });

    /// <summary>Tokens of the longest answer.</summary>
    private const int Longest = 400;

    private readonly FakeTimeProvider _time = new();
    private readonly ModelQueue _queue;
    private readonly List<(string Key, Priority Priority, Task<SlotLease> Task)> _waiting = [];
    private SlotLease _running;

    public FairOrderTests()
    {
        _queue = new ModelQueue(Model, _time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        _queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(), 1)));
        var first = _queue.AcquireAsync(new QueueTicket(Asked.Of(Model)), CancellationToken.None).AsTask();
        Assert.True(first.IsCompletedSuccessfully);
        _running = first.Result;
    }

    [Fact]
    public async Task Bands_HigherOnes_GoFirstWhoeverCameBefore()
    {
        foreach (var priority in new[] { Priority.Batch, Priority.Low, Priority.Normal, Priority.High, Priority.Batch, Priority.High })
        {
            Ask("a", priority);
        }

        Assert.Equal(
            [Priority.High, Priority.High, Priority.Normal, Priority.Low, Priority.Batch, Priority.Batch],
            (await ServeAsync(6)).Select(served => served.Priority));
    }

    [Fact]
    public async Task Bands_ALowerOneThatStarves_GetsEveryTenthGrant()
    {
        for (var i = 0; i < 10; i++)
        {
            Ask("a", Priority.Batch);
        }

        for (var i = 0; i < 100; i++)
        {
            Ask("a", Priority.High);
        }

        Assert.All(await ServeAsync(20), served => Assert.Equal(Priority.High, served.Priority));
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(3, (await ServeAsync(21)).Count(served => served.Priority == Priority.Batch));
    }

    [Fact]
    public async Task Keys_AHogInFront_DoesNotDelayTheOthers()
    {
        for (var i = 0; i < 100; i++)
        {
            Ask("hog");
        }

        foreach (var key in new[] { "a", "b", "c" })
        {
            Ask(key);
        }

        // No later than after their own number and one of the hog's.
        Assert.Equal(["a", "b", "c", "hog"], (await ServeAsync(4)).Select(served => served.Key).Order());
    }

    [Fact]
    public async Task Keys_OneThatComesBack_GetsTheNextSlotBeforeAHogThatHasSome()
    {
        using var queue = new ModelQueue(Model, _time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(), 3)));
        var hog = Enumerable.Range(0, 8).Select(_ => queue.AcquireAsync(new QueueTicket(Asked.Of(Model, key: "hog")), CancellationToken.None).AsTask()).ToArray();
        var light = queue.AcquireAsync(new QueueTicket(Asked.Of(Model, key: "light")), CancellationToken.None).AsTask();
        Assert.Equal(3, hog.Count(task => task.IsCompleted));
        var first = await hog[0];
        first.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        first.Dispose();
        Assert.True(light.IsCompletedSuccessfully);
        Assert.Equal(3, hog.Count(task => task.IsCompleted));
    }

    [Fact]
    public async Task Keys_AFewAtOnce_GoBeforeALineWithinFourUsualCosts()
    {
        for (var i = 0; i < 100; i++)
        {
            Ask("hog");
        }

        foreach (var key in "aabaaaaaa")
        {
            Ask(key.ToString());
        }

        // In order of arrival, until one is so far ahead of the hog that it is the hog's turn.
        Assert.Equal("aabaaahaha", string.Concat((await ServeAsync(10)).Select(served => served.Key[0])));
    }

    [Fact]
    public async Task Keys_ByWeight_ShareWhatIsServed()
    {
        for (var i = 0; i < 300; i++)
        {
            Ask("one");
            Ask("three", weight: 3);
        }

        var served = await ServeAsync(200);
        Assert.InRange(served.Count(each => each.Key == "three"), 148, 152);
    }

    /// <summary>The promise of the token counter: whatever is asked, two keys that always wait are never further apart than a constant.</summary>
    [Fact]
    public async Task Keys_ThatAlwaysWait_AreNeverFurtherApartThanAConstant() =>
        await Gen.Select(Gen.Int[1, 4], Gen.Select(Gen.Int[1, 4], Gen.Int[1, Longest]).Array[2, 4], Gen.Int[0, 1_000_000]).SampleAsync(
            async (slots, keys, seed) =>
            {
                using var queue = new ModelQueue(Model, _time, new Random(seed), TestMeters.Scheduling(), (_, _) => { });
                queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(), slots)));
                var random = new Random(seed);
                var served = new double[keys.Length];
                var waiting = new List<(int Key, Task<SlotLease> Task)>();
                var running = new List<(int Key, SlotLease Lease)>();
                for (var round = 0; round < 250; round++)
                {
                    for (var key = 0; key < keys.Length; key++)
                    {
                        while (waiting.Count(one => one.Key == key) < 3)
                        {
                            var request = Asked.Of(Model, key: $"key-{key}", weight: keys[key].Item1, maxTokens: keys[key].Item2);
                            waiting.Add((key, queue.AcquireAsync(new QueueTicket(request), CancellationToken.None).AsTask()));
                            await StartAsync();
                        }
                    }

                    var (who, lease) = running[random.Next(running.Count)];
                    running.Remove((who, lease));
                    var tokens = random.Next(1, keys[who].Item2 + 1);
                    lease.Spend(1, 0, tokens);
                    lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
                    lease.Dispose();
                    served[who] += TokenCost.Actual(1, tokens) / keys[who].Item1;
                    await StartAsync();

                    // What runs is on the account already by its estimate, and an estimate may be wrong by as much as an answer.
                    Assert.InRange(served.Max() - served.Min(), 0, ((2 * slots) + 3) * TokenCost.Actual(10, Longest));
                }

                async Task StartAsync()
                {
                    foreach (var one in waiting.Where(one => one.Task.IsCompleted).ToArray())
                    {
                        waiting.Remove(one);
                        running.Add((one.Key, await one.Task));
                    }
                }
            },
            iter: 60);

    [Fact]
    public async Task Keys_LongAnswers_CountByTheirTokens()
    {
        for (var i = 0; i < 300; i++)
        {
            Ask("long", maxTokens: 200);
            Ask("short", maxTokens: 50);
        }

        // What a request costs shows in its usage only: both keys look alike until then.
        var served = await ServeAsync(200, key => key == "long" ? 200 : 50);
        Assert.InRange(served.Count(each => each.Key == "short"), 145, 165);
    }

    [Fact]
    public async Task Keys_OneThatWasIdle_HasNoClaimToWhatItDidNotUse()
    {
        Ask("new");
        await ServeAsync(1);
        for (var i = 0; i < 200; i++)
        {
            Ask("old");
        }

        await ServeAsync(100);
        for (var i = 0; i < 100; i++)
        {
            Ask("new");
        }

        Assert.InRange((await ServeAsync(40)).Count(served => served.Key == "new"), 19, 21);
    }

    [Fact]
    public async Task Keys_WorkThatFailed_CostsNothing()
    {
        for (var i = 0; i < 100; i++)
        {
            Ask("unlucky");
            Ask("lucky");
        }

        var served = await ServeAsync(40, fails: key => key == "unlucky");
        Assert.Equal(40, served.Count);
        Assert.True(served.Count(each => each.Key == "unlucky") > 35);
    }

    [Fact]
    public async Task Keys_OwnRequests_KeepTheirOrder()
    {
        for (var i = 0; i < 50; i++)
        {
            Ask("a");
            Ask("b");
        }

        await ServeAsync(60);
        foreach (var key in new[] { "a", "b" })
        {
            var served = _waiting.Where(each => each.Key == key).Select(each => each.Task.IsCompleted).ToArray();
            Assert.Equal(served.OrderDescending(), served);
        }
    }

    [Fact]
    public async Task Keys_DepthOfOne_IsBoundedApart()
    {
        var model = Configured.Model(queue: new QueueOptions { MaxDepthPerKey = 2 });
        using var queue = new ModelQueue(model, _time, new Random(1), TestMeters.Scheduling(), (_, _) => { });
        queue.Update(Servers.Snapshot(Servers.None(BackendCondition.Coming)));
        var answers = new[] { "a", "a", "a", "b", null, null, null }
            .Select(key => queue.AcquireAsync(new QueueTicket(Asked.Of(model, key: key)), CancellationToken.None).AsTask()).ToArray();

        Assert.Equal([false, false, true, false, false, false, false], answers.Select(answer => answer.IsCompleted));
        Assert.Equal("queue_full", (await answers[2]).Refusal?.Code);
    }

    [Fact]
    public async Task Keys_RunningAndWaiting_AreInTheStatus()
    {
        Ask("a");
        Ask("b");
        Ask("b");
        await ServeAsync(1);
        Assert.Equal([new KeyStatus("a", 0, 1), new KeyStatus("b", 2, 0)], _queue.Status().Keys.OrderBy(key => key.Key));
    }

    public void Dispose() => _queue.Dispose();

    private void Ask(string key, Priority priority = Priority.Normal, int weight = 1, int? maxTokens = null) =>
        _waiting.Add((key, priority, _queue.AcquireAsync(new QueueTicket(Asked.Of(Model, priority: priority, key: key, weight: weight, maxTokens: maxTokens)), CancellationToken.None).AsTask()));

    /// <summary>Ends the running request again and again, and tells who came next.</summary>
    private async Task<List<(string Key, Priority Priority)>> ServeAsync(int count, Func<string, long>? completion = null, Func<string, bool>? fails = null)
    {
        var open = _waiting.Where(each => !each.Task.IsCompleted).ToList();
        var served = new List<(string, Priority)>();
        string? running = null;
        for (var i = 0; i < count; i++)
        {
            _running.End(LeaseEnd.Finished, running is not null && fails?.Invoke(running) == true ? UpstreamOutcome.Fault : UpstreamOutcome.Ok);
            if (running is not null && completion is not null)
            {
                _running.Spend(10, 0, completion(running));
            }

            _running.Dispose();
            var next = await Task.WhenAny(open.Select(each => each.Task)).WaitAsync(TestContext.Current.CancellationToken);
            var who = open.Find(each => each.Task == next);
            open.Remove(who);
            _running = await next;
            running = who.Key;
            served.Add((who.Key, who.Priority));
        }

        return served;
    }
}
