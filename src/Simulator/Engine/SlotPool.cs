using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Engine;

/// <summary>The slots and the unbounded queue before them, first in, first out.</summary>
/// <remarks>A waiting request does not leave the queue when its client goes: the real server notices only once a slot has it.</remarks>
internal sealed class SlotPool
{
    // The real size depends on the model; this one lets the default of 8 GiB hold half a million tokens.
    private const int BytesPerToken = 16 * 1024;

    private readonly Lock _lock = new();
    private readonly Slot[] _slots;
    private readonly LinkedList<Waiter> _queue = [];
    private readonly PromptCache _evicted;
    private readonly FaultSwitch _faults;
    private readonly double _similarity;
    private long _uses;
    private int _deferredPeak;
    private int _nextTask;

    public SlotPool(ServerSettings settings, FaultSwitch faults)
    {
        _faults = faults;
        _similarity = settings.SlotPromptSimilarity;
        _slots = [.. Enumerable.Range(0, settings.SlotCount).Select(id => new Slot(id))];
        _evicted = new PromptCache(settings.CacheRamMib < 0 ? long.MaxValue : settings.CacheRamMib * 1024L * 1024L / BytesPerToken);
    }

    private sealed class Waiter(Generation generation)
    {
        public Generation Generation { get; } = generation;

        public TaskCompletionSource<Slot> Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    public int Count => _slots.Length;

    /// <summary>Requests that wait for a slot, now and at most so far; slots in use.</summary>
    public (int Deferred, int DeferredPeak, int Processing) Load
    {
        get
        {
            lock (_lock)
            {
                return (_queue.Count, _deferredPeak, _slots.Count(s => s.IsBusy));
            }
        }
    }

    /// <summary>Waits for a slot and makes it hold what it can of the prompt.</summary>
    public ValueTask<Slot> AcquireAsync(Generation generation)
    {
        lock (_lock)
        {
            generation.TaskId = _nextTask++;
            if (Pick_NeedsLock(generation) is { } slot)
            {
                Assign_NeedsLock(slot, generation);
                return ValueTask.FromResult(slot);
            }

            var waiter = new Waiter(generation);
            _queue.AddLast(waiter);
            _deferredPeak = Math.Max(_deferredPeak, _queue.Count);
            return new(waiter.Granted.Task);
        }
    }

    public void Release(Slot slot)
    {
        lock (_lock)
        {
            slot.Last = slot.Current;
            slot.Current = null;
            slot.LastUsed = _uses++;
            slot.Leaked = _slots.Count(s => s.Leaked) < _faults.Current.LeakSlots;
            Serve_NeedsLock();
        }
    }

    /// <summary>Gives leaked slots back when the fault is off again.</summary>
    public void Reconcile(int allowed)
    {
        lock (_lock)
        {
            foreach (var slot in _slots.Where(s => s.Leaked).Skip(allowed))
            {
                slot.Leaked = false;
            }

            Serve_NeedsLock();
        }
    }

    /// <summary>Looks at each slot under the lock.</summary>
    public void Visit(Action<Slot> look)
    {
        lock (_lock)
        {
            foreach (var slot in _slots)
            {
                look(slot);
            }
        }
    }

    /// <summary>Appends to what a slot holds.</summary>
    public void Hold(Slot slot, int token)
    {
        lock (_lock)
        {
            slot.Held.Add(token);
        }
    }

    private void Serve_NeedsLock()
    {
        for (var node = _queue.First; node is not null;)
        {
            var next = node.Next;
            if (Pick_NeedsLock(node.Value.Generation) is { } slot)
            {
                _queue.Remove(node);
                Assign_NeedsLock(slot, node.Value.Generation);
                node.Value.Granted.SetResult(slot);
            }

            node = next;
        }
    }

    private Slot? Pick_NeedsLock(Generation generation)
    {
        if (generation.WantedSlot >= 0)
        {
            var wanted = _slots[generation.WantedSlot % _slots.Length];
            return wanted.IsBusy ? null : wanted;
        }

        Slot? similar = null;
        Slot? oldest = null;
        var best = 0;
        foreach (var slot in _slots)
        {
            if (slot.IsBusy)
            {
                continue;
            }

            oldest = oldest is null || slot.LastUsed < oldest.LastUsed ? slot : oldest;
            var common = PromptCache.CommonPrefix(slot.Held, generation.Prompt);
            if (common > best && common > _similarity * generation.Prompt.Length)
            {
                (similar, best) = (slot, common);
            }
        }

        return similar ?? oldest;
    }

    private void Assign_NeedsLock(Slot slot, Generation generation)
    {
        slot.Current = generation;
        generation.SlotId = slot.Id;
        var common = PromptCache.CommonPrefix(slot.Held, generation.Prompt);
        if (common < slot.Held.Count && common < generation.Prompt.Length - 1)
        {
            if (_evicted.TakeBest(generation.Prompt, common) is { } better)
            {
                _evicted.Add(slot.Held);
                slot.Held = better;
                common = PromptCache.CommonPrefix(better, generation.Prompt);
            }
            else
            {
                _evicted.Add(slot.Held);
            }
        }

        // At least one token is always evaluated.
        generation.CachedTokens = generation.CachePrompt ? Math.Min(common, generation.Prompt.Length - 1) : 0;
        slot.Held = [.. generation.Prompt];
    }
}
