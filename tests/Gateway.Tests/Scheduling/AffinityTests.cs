using System.Collections.Immutable;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Placement;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

/// <summary>Prompts go where their beginning has been read, within bounds.</summary>
public sealed class AffinityTests : IDisposable
{
    private static readonly Model Model = Configured.Model(queue: new QueueOptions { MaxDepth = 1000, Timeout = TimeSpan.FromHours(1) });

    private readonly ModelQueue _queue = new(Model, new FakeTimeProvider(), new Random(1), TestMeters.Scheduling(), (_, _) => { });

    public AffinityTests() => _queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(0), 4), Servers.Entry(Servers.Backend(1), 4)));

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Arrival_PromptReadBefore_GoesThereAgain()
    {
        var homes = new Dictionary<int, string>();
        for (var turn = 1; turn <= 5; turn++)
        {
            for (var chat = 0; chat < 6; chat++)
            {
                using var lease = await AskAsync(chat, turn);
                lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
                Assert.Equal(lease.Backend.Name, homes.GetValueOrDefault(chat, lease.Backend.Name));
                homes[chat] = lease.Backend.Name;
            }
        }

        Assert.Equal(["m/0", "m/1"], homes.Values.Distinct().Order());
        Assert.Equal((24, 6), (Count(AffinityResult.PlacedHit), Count(AffinityResult.Miss)));
    }

    [Fact]
    public async Task Arrival_ShortPrompts_GoToTheLeastBusy()
    {
        using var a = await AskAsync(1, 1, bytes: 200);
        using var b = await AskAsync(1, 2, bytes: 200);
        Assert.NotEqual(a.Backend, b.Backend);
    }

    [Fact]
    public async Task Arrival_SessionHint_IsEnough()
    {
        using var a = await AskAsync(1, 1, bytes: 200, session: 7);
        using var b = await AskAsync(2, 1, bytes: 200, session: 7);
        Assert.Equal(a.Backend, b.Backend);
    }

    [Fact]
    public async Task Arrival_WarmServerMuchBusier_IsNotPiledUpon()
    {
        var leases = new List<SlotLease>();
        for (var i = 0; i < 6; i++)
        {
            leases.Add(await AskAsync(chat: 1, turn: 1));
        }

        Assert.InRange(leases.Count(lease => lease.Backend == leases[0].Backend), 3, 4);
        Assert.True(Count(AffinityResult.OverriddenByLoad) + Count(AffinityResult.PlacedHit) == 5);
    }

    [Fact]
    public async Task SlotComesFree_OneWhosePromptIsThere_GoesFirst()
    {
        var (held, warm) = await FillAsync();
        _ = AskAsync(chat: 50, turn: 1);
        _ = AskAsync(chat: 51, turn: 1);
        var back = AskAsync(chat: warm, turn: 2);
        Release(held.Find(lease => lease.Ticket!.Request.Prefix[0].Hash == Chat(warm, 1)[0].Hash)!);
        Assert.True((await back.WaitAsync(Ct)).IsAcquired);
        Assert.Equal(1, Count(AffinityResult.ScanHit));
        Assert.Equal(2, _queue.Status().Depth);
    }

    [Fact]
    public async Task SlotComesFree_TheFirst_IsOvertakenAFewTimesOnly()
    {
        var (held, warm) = await FillAsync();
        var first = AskAsync(chat: 50, turn: 1);
        var others = Enumerable.Range(0, 40).Select(i => AskAsync(warm, 2)).ToList();
        var lease = held.Find(each => each.Ticket!.Request.Prefix[0].Hash == Chat(warm, 1)[0].Hash)!;
        var overtook = 0;
        while (!first.IsCompleted)
        {
            Release(lease);
            var next = await Task.WhenAny([first, .. others]).WaitAsync(Ct);
            others.Remove(next);
            lease = await next;
            overtook += next == first ? 0 : 1;
        }

        Assert.InRange(overtook, 3, 16);
    }

    [Fact]
    public async Task Restarted_Server_RemembersNothing()
    {
        using (var lease = await AskAsync(1, 1))
        {
            lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        }

        _queue.Update(Servers.Snapshot(Servers.Entry(Servers.Backend(0, generation: 1), 4), Servers.Entry(Servers.Backend(1, generation: 1), 4)));
        using var again = await AskAsync(1, 2);
        Assert.Equal((0, 2), (Count(AffinityResult.PlacedHit), Count(AffinityResult.Miss)));
    }

    [Fact]
    public void Memory_OverItsBound_ForgetsTheOlderHalf()
    {
        var memory = new PrefixMemory();
        for (var chat = 0; chat < 3 * PrefixMemory.Most; chat++)
        {
            memory.Remember(Chat(chat, 1), 0);
        }

        Assert.Equal(0, memory.Match(Chat(0, 1), 1));
        Assert.True(memory.Match(Chat((3 * PrefixMemory.Most) - 1, 1), 1) > 0);
        Assert.InRange(Enumerable.Range(0, 3 * PrefixMemory.Most).Count(chat => memory.Match(Chat(chat, 1), 1) > 0), PrefixMemory.Most / 4, PrefixMemory.Most);
    }

    public void Dispose() => _queue.Dispose();

    /// <summary>A conversation's prompt: its links are those of the turns so far.</summary>
    private static ImmutableArray<PrefixLink> Chat(int chat, int turn, int bytes = 4000) =>
        [.. Enumerable.Range(1, 2 * turn).Select(i => new PrefixLink((ulong)((chat * 1000) + i), bytes / (2 * turn) * i))];

    private Task<SlotLease> AskAsync(int chat, int turn, int bytes = 4000, ulong session = 0) =>
        _queue.AcquireAsync(new QueueTicket(Asked.Of(Model, bytes: bytes, prefix: Chat(chat, turn, bytes), session: session)), Ct).AsTask();

    /// <summary>Takes all slots; gives the leases, and one chat among them.</summary>
    private async Task<(List<SlotLease> Held, int Warm)> FillAsync()
    {
        var held = new List<SlotLease>();
        for (var chat = 0; chat < 8; chat++)
        {
            held.Add(await AskAsync(chat, 1));
        }

        return (held, 3);
    }

    private static void Release(SlotLease lease)
    {
        lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        lease.Dispose();
    }

    private long Count(AffinityResult result) => _queue.Status().Affinity[(int)result];
}
