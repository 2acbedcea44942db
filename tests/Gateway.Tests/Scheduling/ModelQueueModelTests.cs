using System.Collections.Concurrent;
using CsCheck;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Scheduling.Order;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

/// <summary>Random histories: after each step the queue must agree with a model that knows only the promises.</summary>
public sealed class ModelQueueModelTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static readonly Gen<Step> Steps = Gen.Frequency<Step>(
        (6, Gen.Select(Gen.Int[0, 4], Gen.Int[1, 40], Gen.Int[0, 11], (slots, bytes, who) => new Step(StepKind.Ask, Math.Max(1, slots), bytes, who))),
        (5, Gen.Select(Gen.Int[0, 20], Gen.Int[0, 2], (lease, end) => new Step(StepKind.Release, lease, end))),
        (1, Gen.Int[0, 20].Select(lease => new Step(StepKind.Requeue, lease, 0))),
        (2, Gen.Int[0, 20].Select(waiter => new Step(StepKind.Cancel, waiter, 0))),
        (2, Gen.Select(Gen.Int[0, 2], Gen.Int[0, 4], (backend, condition) => new Step(StepKind.Change, backend, condition))),
        (1, Gen.Int[0, 2].Select(backend => new Step(StepKind.Replace, backend, 0))),
        (2, Gen.Int[0, 6000].Select(milliseconds => new Step(StepKind.Advance, milliseconds, 0))),
        (2, Gen.Select(Gen.Int[0, 2], Gen.Int[0, 4], (backend, busy) => new Step(StepKind.Settle, backend, busy))));

    [Fact]
    public async Task AnyHistory_KeepsThePromises() => await Steps.Array[1, 60].SampleAsync(
        async steps =>
        {
            using var world = new World();
            foreach (var step in steps)
            {
                await world.DoAsync(step);
            }

            await world.FinishAsync();
        },
        iter: 1500);

    [Fact]
    public async Task ManyAtOnce_NeverMoreThanTheSlotsAndEveryoneIsServedOrGone()
    {
        const int Requests = 4000;
        int[] slots = [1, 2, 3];
        Backend[] backends = [.. slots.Select((_, i) => Servers.Backend(i, hasSlots: i > 0))];
        var busy = new ConcurrentDictionary<string, int>();
        var model = Configured.Model(queue: new QueueOptions { MaxDepth = Requests });
        ModelQueue queue = null!;
        queue = new ModelQueue(model, new FakeTimeProvider(), new Random(1), TestMeters.Scheduling(), (owner, given) => owner.Settle(given, 0));
        using var disposed = queue;
        queue.Update(Servers.Snapshot([.. backends.Select((backend, i) => Servers.Entry(backend, slots[i]))]));

        var (granted, cancelled) = (0, 0);
        await Parallel.ForAsync(0, Requests, new ParallelOptions { MaxDegreeOfParallelism = 64, CancellationToken = Ct }, async (i, _) =>
        {
            using var leave = new CancellationTokenSource();
            var waiting = queue.AcquireAsync(new QueueTicket(Asked.Of(model, 1 + (i % 3))), leave.Token).AsTask();
            if (i % 5 == 0)
            {
                await leave.CancelAsync();
            }

            try
            {
                using var lease = await waiting;
                Assert.True(lease.IsAcquired);
                Assert.InRange(busy.AddOrUpdate(lease.Backend.Name, lease.Slots, (_, now) => now + lease.Slots), 1, slots[lease.Backend.Name[^1] - '0']);
                await Task.Yield();
                busy.AddOrUpdate(lease.Backend.Name, 0, (_, now) => now - lease.Slots);
                lease.End(i % 7 == 0 ? LeaseEnd.Abandoned : LeaseEnd.Finished);
                Interlocked.Increment(ref granted);
            }
            catch (OperationCanceledException)
            {
                Interlocked.Increment(ref cancelled);
            }
        });

        var status = queue.Status();
        Assert.Equal(Requests, granted + cancelled);
        Assert.Equal((0, 0L), (status.Depth, status.Bytes));
        Assert.All(status.Slots, backend => Assert.Equal((0, 0), (backend.Busy, backend.Quarantined)));
        Assert.All(backends, backend => Assert.True(queue.WhenIdle(backend).IsCompletedSuccessfully));
    }

    private enum StepKind
    {
        Ask,
        Release,
        Requeue,
        Cancel,
        Change,
        Replace,
        Advance,
        Settle,
    }

    private sealed record Step(StepKind Kind, int A, int B, int Who = 0);

    private sealed class Asker(QueueTicket ticket, Task<SlotLease> task, CancellationTokenSource leave)
    {
        public QueueTicket Ticket { get; } = ticket;

        public Task<SlotLease> Task { get; } = task;

        public CancellationTokenSource Leave { get; } = leave;

        public TimeSpan Ready { get; set; }

        public TimeSpan Coming { get; set; }

        /// <summary>False for one who came when nobody waited, and a slot was free.</summary>
        public bool IsFromTheLine { get; init; }

        public TimeSpan Waited => Ready + Coming;
    }

    private sealed class World : IDisposable
    {
        private const int Depth = 5;
        private const int Bytes = 1 << 20;
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
        private static readonly TimeSpan Hold = TimeSpan.FromSeconds(15);
        private static readonly TimeSpan Within = TimeSpan.FromSeconds(4);

        private readonly FakeTimeProvider _time = new();
        private readonly Model _model = Configured.Model(queue: new QueueOptions { MaxDepth = Depth, MaxBytes = new ByteSize(Bytes), Timeout = Patience, HoldWhileLoading = Hold });
        private readonly ModelQueue _queue;
        private readonly List<Asker> _waiting = [];
        private readonly List<(QueueTicket Ticket, SlotLease Lease, TimeSpan Ready, TimeSpan Coming)> _held = [];
        private readonly Dictionary<Backend, BackendSlots> _watched = [];
        private readonly Backend[] _backends = [.. Enumerable.Range(0, 3).Select(i => Servers.Backend(i))];
        private readonly BackendCondition[] _conditions = [BackendCondition.Ready, BackendCondition.Coming, BackendCondition.Stopped];
        private int _granted;
        private int _grantedInPassing;

        public World()
        {
            _queue = new ModelQueue(_model, _time, new Random(1), TestMeters.Scheduling(), (_, slots) => _watched[slots.Backend] = slots);
            Publish();
        }

        // One that waiting loads is one to wait for.
        private BackendCondition Best => _conditions.Min() is var best && best == BackendCondition.Loadable ? BackendCondition.Coming : best;

        public void Dispose() => _queue.Dispose();

        public async Task DoAsync(Step step)
        {
            Asker? left = null;
            switch (step.Kind)
            {
                case StepKind.Ask:
                    TimeSpan? within = step.B % 4 == 0 ? Within : null;
                    var request = Asked.Of(_model, step.A, step.B * 10_000, (Priority)(step.Who % 4), within, _time.GetTimestamp(), key: $"key-{step.Who / 4}", weight: 1 + (step.Who / 4));
                    await AskAsync(new QueueTicket(request), TimeSpan.Zero, TimeSpan.Zero);
                    break;
                case StepKind.Release when _held.Count > 0:
                    Release(step.A % _held.Count, (LeaseEnd)step.B);
                    break;
                case StepKind.Requeue when _held.Count > 0:
                    var (ticket, _, ready, coming) = _held[step.A % _held.Count];
                    Release(step.A % _held.Count, LeaseEnd.Finished);
                    await CheckAsync(null);
                    await AskAsync(ticket, ready, coming);
                    break;
                case StepKind.Cancel when _waiting.Count > 0:
                    left = _waiting[step.A % _waiting.Count];
                    await left.Leave.CancelAsync();
                    break;
                case StepKind.Change:
                    _conditions[step.A] = (BackendCondition)step.B;
                    Publish();
                    break;
                case StepKind.Replace:
                    _backends[step.A] = Servers.Backend(step.A, generation: _backends[step.A].Generation + 1);
                    Publish();
                    break;
                case StepKind.Advance:
                    var by = TimeSpan.FromMilliseconds(step.A);
                    foreach (var asker in _waiting)
                    {
                        asker.Ready += Best == BackendCondition.Ready ? by : TimeSpan.Zero;
                        asker.Coming += Best == BackendCondition.Coming ? by : TimeSpan.Zero;
                    }

                    _time.Advance(by);
                    break;
                case StepKind.Settle when _watched.TryGetValue(_backends[step.A], out var slots):
                    _queue.Settle(slots, step.B == 4 ? null : step.B);
                    break;
            }

            await CheckAsync(left);
        }

        /// <summary>Gives everything back: then nobody waits that a ready backend could serve.</summary>
        public async Task FinishAsync()
        {
            Array.Fill(_conditions, BackendCondition.Ready);
            Publish();
            SettleAll();
            await CheckAsync(null);
            while (_held.Count > 0)
            {
                Release(0, LeaseEnd.Finished);
                SettleAll();
                await CheckAsync(null);
            }

            Assert.Empty(_waiting);
            Assert.All(_backends, backend => Assert.True(_queue.WhenIdle(backend).IsCompleted));
        }

        private void SettleAll()
        {
            foreach (var slots in _watched.Values)
            {
                _queue.Settle(slots, 0);
            }
        }

        private static int Slots(int backend) => backend + 1;

        private void Publish() => _queue.Update(Servers.Snapshot([.. _backends.Select((backend, i) => Servers.Entry(backend, Slots(i), _conditions[i]))]));

        private void Release(int index, LeaseEnd end)
        {
            var lease = _held[index].Lease;
            _held.RemoveAt(index);
            lease.End(end, UpstreamOutcome.Ok);
            lease.Dispose();
            lease.Dispose();
        }

        private async Task AskAsync(QueueTicket ticket, TimeSpan ready, TimeSpan coming)
        {
            var isNew = ticket.Number == 0;
            var before = _queue.Status();
            var leave = new CancellationTokenSource();
            var task = _queue.AcquireAsync(ticket, leave.Token).AsTask();
            if (task.IsCompleted && (await task).Refusal is { } refusal)
            {
                Assert.InRange(refusal.RetryAfter!.Value.TotalSeconds, 1, 30);
                var isTooLate = IsTooLate(ticket);
                var expected = Best switch
                {
                    _ when isTooLate => "deadline_unreachable",
                    BackendCondition.Stopped => "no_backend",
                    BackendCondition.Failed => "model_loading_failed",
                    BackendCondition.Coming when coming >= Hold => "no_backend",
                    _ when before.Depth >= Depth || before.Bytes + ticket.Request.Body.Length > Bytes => "queue_full",
                    _ => "deadline_unreachable",
                };
                Assert.Equal(expected, refusal.Code);
                Assert.True(isNew || isTooLate || expected is not ("queue_full" or "deadline_unreachable"));

                // Nobody is sent away while a slot is free for him.
                Assert.True(expected != "deadline_unreachable" || isTooLate || before.Depth > 0 || ticket.Request.Slots > 1 || Enumerable.Range(0, _backends.Length).All(i => IsFull(before, i)));
                return;
            }

            _waiting.Add(new Asker(ticket, task, leave) { Ready = ready, Coming = coming, IsFromTheLine = before.Depth > 0 || !task.IsCompleted });
            _waiting.Sort((a, b) => a.Ticket.Number.CompareTo(b.Ticket.Number));
        }

        private async Task CheckAsync(Asker? left)
        {
            var status = _queue.Status();

            // Who left the line hears of it on another thread.
            while (_waiting.Where(asker => !asker.Task.IsCompleted).Select(asker => asker.Task).ToArray() is var open && open.Length > status.Depth)
            {
                await Task.WhenAny(open).WaitAsync(Ct);
            }

            var done = _waiting.Where(asker => asker.Task.IsCompleted).ToArray();
            _waiting.RemoveAll(asker => asker.Task.IsCompleted);
            foreach (var asker in done)
            {
                if (asker.Task.IsCanceled)
                {
                    Assert.Same(left, asker);
                    continue;
                }

                var lease = await asker.Task;
                if (lease.Refusal is null)
                {
                    // Nobody starts when his time is over.
                    Assert.False(IsTooLate(asker.Ticket));

                    // First come, first served for one key, and the higher band first, unless somebody of the lower one starves: then one grant in ten is the band's.
                    var isPassed = _waiting.Exists(other => IsNarrow(other) && IsHigher(other, asker));
                    Assert.True(!isPassed || done.Concat(_waiting).Any(each => each.Ticket.Request.Priority == asker.Ticket.Request.Priority && each.Waited > StarvationGuard.Patience));
                    Assert.DoesNotContain(_waiting, other => IsNarrow(other) && IsSameLine(other, asker) && other.Ticket.Number < asker.Ticket.Number);
                    _granted += asker.IsFromTheLine ? 1 : 0;
                    _grantedInPassing += isPassed ? 1 : 0;
                    _held.Add((asker.Ticket, lease, asker.Ready, asker.Coming));
                }
                else
                {
                    Assert.True(IsOver(asker), $"refused with {lease.Refusal.Code} after {asker.Ready} and {asker.Coming}");
                }
            }

            Assert.InRange(_grantedInPassing, 0, _granted / 10);
            Assert.False(left is not null && _waiting.Contains(left));
            Assert.Equal(_waiting.Count, status.Depth);
            Assert.Equal(_waiting.Sum(asker => (long)asker.Ticket.Request.Body.Length), status.Bytes);
            Assert.All(_waiting, asker => Assert.False(IsOver(asker) && (asker.Ready > TimeSpan.Zero || asker.Coming > TimeSpan.Zero)));
            for (var i = 0; i < _backends.Length; i++)
            {
                var backend = _backends[i];
                var busy = _held.Where(held => held.Lease.Backend == backend).Sum(held => held.Lease.Slots);
                var slots = SlotsOf(status, i);
                Assert.Equal((busy, Slots(i)), (slots.Busy, slots.Total));
                Assert.InRange(slots.Busy + slots.Quarantined, 0, slots.Total);
                Assert.True(slots.Usable == 0 || _conditions[i] == BackendCondition.Ready);

                // Work conserving: a slot is free only if nobody waits, or somebody collects several there.
                if (_waiting.Count > 0 && slots.Usable - slots.Busy - slots.Quarantined is var free && free > 0)
                {
                    Assert.Contains(_waiting, asker => free < Math.Min(asker.Ticket.Request.Slots, slots.Total));
                }
            }
        }

        private bool IsFull(QueueStatus status, int backend) =>
            SlotsOf(status, backend) is var slots && slots.Busy + slots.Quarantined >= slots.Usable;

        /// <summary>The backend as it is now: an earlier one of that name may still have leases.</summary>
        private SlotStatus SlotsOf(QueueStatus status, int backend) => status.Slots.Last(slots => slots.Backend == _backends[backend].Name);

        private static bool IsNarrow(Asker asker) => asker.Ticket.Request.Slots == 1;

        private static bool IsSameLine(Asker a, Asker b) => a.Ticket.Request.Priority == b.Ticket.Request.Priority && a.Ticket.Request.Key == b.Ticket.Request.Key;

        private static bool IsHigher(Asker a, Asker b) => a.Ticket.Request.Priority < b.Ticket.Request.Priority;

        private bool IsTooLate(QueueTicket ticket) => ticket.Request.FirstTokenWithin is { } within && _time.GetElapsedTime(ticket.Request.ArrivedAt) >= within;

        private bool IsOver(Asker asker) => IsTooLate(asker.Ticket) || Best switch
        {
            BackendCondition.Ready => asker.Ready >= Patience,
            BackendCondition.Coming => asker.Coming >= Hold,
            _ => true,
        };
    }
}
