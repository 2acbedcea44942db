namespace LlmGateway.Benchmarks.Simulation;

/// <summary>Who gets a slot of which server, when. The gateway's own scheduler is one of them, as its real class.</summary>
internal interface IPolicy : IDisposable
{
    /// <summary>Waits for a slot; null is a refusal. Cancelled when the client gives up.</summary>
    ValueTask<IGrant?> AcquireAsync(SimulatedRequest request, CancellationToken patience);

    /// <summary>A server dies, or is back with empty memory.</summary>
    void SetAlive(int backend, bool isAlive);
}

/// <summary>A slot, until it is given back.</summary>
internal interface IGrant
{
    int Backend { get; }

    /// <summary>The first token has come.</summary>
    /// <param name="after">Time since the grant.</param>
    void FirstToken(TimeSpan after);

    /// <summary>Gives it back.</summary>
    /// <param name="tokens">Prompt, cached and generated tokens of a whole answer; null when the client left or the server died.</param>
    void Release((int Prompt, int Cached, int Answer)? tokens);
}

/// <summary>What most gateways do: a server is chosen on arrival, and the request waits in that server's own queue.</summary>
/// <param name="time">The simulation's.</param>
/// <param name="workload">How many servers and slots.</param>
/// <param name="choose">The server, given each one's queue and work.</param>
/// <param name="deadline">Who has waited longer is dropped when a slot comes free; null: never.</param>
internal sealed class BackendQueues(SimulatedTime time, Workload workload, Func<SimulatedRequest, IReadOnlyList<int>, int> choose, TimeSpan? deadline = null) : IPolicy
{
    private readonly Line[] _lines = [.. Enumerable.Range(0, workload.Backends).Select(i => new Line(time, workload.Slots, deadline, [i]))];

    public ValueTask<IGrant?> AcquireAsync(SimulatedRequest request, CancellationToken patience) =>
        _lines[choose(request, [.. _lines.Select(static line => line.Load)])].AcquireAsync(patience);

    public void SetAlive(int backend, bool isAlive) => _lines[backend].SetAlive(backend, isAlive);

    public void Dispose()
    {
    }
}

/// <summary>One queue for all, first come first served, exact permits.</summary>
/// <param name="time">The simulation's.</param>
/// <param name="workload">How many servers and slots.</param>
/// <param name="deadline">Who has waited longer is dropped when a slot comes free; null: never.</param>
internal sealed class CentralFifo(SimulatedTime time, Workload workload, TimeSpan? deadline = null) : IPolicy
{
    private readonly Line _line = new(time, workload.Slots, deadline, [.. Enumerable.Range(0, workload.Backends)]);

    public ValueTask<IGrant?> AcquireAsync(SimulatedRequest request, CancellationToken patience) => _line.AcquireAsync(patience);

    public void SetAlive(int backend, bool isAlive) => _line.SetAlive(backend, isAlive);

    public void Dispose()
    {
    }
}

/// <summary>A queue in front of some servers: the oldest live waiter gets the next slot, of the least busy one.</summary>
internal sealed class Line(SimulatedTime time, int slots, TimeSpan? deadline, int[] backends)
{
    private readonly Dictionary<int, int> _busy = backends.ToDictionary(static backend => backend, static _ => 0);
    private readonly HashSet<int> _dead = [];
    private readonly Queue<(TaskCompletionSource<IGrant?> Waiter, TimeSpan Since, CancellationToken Patience)> _waiting = new();

    /// <summary>Running and waiting.</summary>
    public int Load => _busy.Values.Sum() + _waiting.Count;

    public ValueTask<IGrant?> AcquireAsync(CancellationToken patience)
    {
        var waiter = new TaskCompletionSource<IGrant?>(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting.Enqueue((waiter, time.Now, patience));
        HandOut();
        return new ValueTask<IGrant?>(waiter.Task);
    }

    public void SetAlive(int backend, bool isAlive)
    {
        _ = isAlive ? _dead.Remove(backend) : _dead.Add(backend);
        HandOut();
    }

    private void HandOut()
    {
        while (_waiting.Count > 0 && Free() is { } backend)
        {
            var (waiter, since, patience) = _waiting.Dequeue();
            if (patience.IsCancellationRequested)
            {
                // As a llama-server does: whoever left is noticed when his turn comes.
                waiter.TrySetCanceled(patience);
            }
            else if (time.Now - since > deadline)
            {
                waiter.TrySetResult(null);
            }
            else
            {
                _busy[backend]++;
                waiter.TrySetResult(new Grant(this, backend));
            }
        }
    }

    private int? Free()
    {
        var free = _busy.Where(pair => pair.Value < slots && !_dead.Contains(pair.Key)).ToList();
        return free.Count == 0 ? null : free.MinBy(static pair => pair.Value).Key;
    }

    private sealed class Grant(Line line, int backend) : IGrant
    {
        public int Backend => backend;

        public void FirstToken(TimeSpan after)
        {
        }

        public void Release((int Prompt, int Cached, int Answer)? tokens)
        {
            line._busy[backend]--;
            line.HandOut();
        }
    }
}
