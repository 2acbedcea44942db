using LlmGateway.LoadTests.Measuring;

namespace LlmGateway.Benchmarks.Simulation;

/// <summary>Runs a workload against a policy: clients come, wait, are served at the servers' pace, give up.</summary>
internal sealed class World
{
    private readonly SimulatedTime _time;
    private readonly Workload _workload;
    private readonly IPolicy _policy;
    private readonly PrefixMemory[] _memories;
    private readonly CancellationTokenSource[] _deaths;
    private readonly WorldResult _result;

    private World(SimulatedTime time, Workload workload, IPolicy policy, string name)
    {
        (_time, _workload, _policy) = (time, workload, policy);
        _memories = [.. Enumerable.Range(0, workload.Backends).Select(_ => new PrefixMemory(workload.CachedPrefixes))];
        _deaths = [.. Enumerable.Range(0, workload.Backends).Select(static _ => new CancellationTokenSource())];
        _result = new WorldResult(name, workload);
    }

    /// <param name="workload">What comes.</param>
    /// <param name="name">The policy's.</param>
    /// <param name="create">Makes the policy on the simulation's time.</param>
    public static WorldResult Run(Workload workload, string name, Func<SimulatedTime, IPolicy> create)
    {
        using var time = new SimulatedTime();
        using var policy = create(time);
        var world = new World(time, workload, policy, name);
        var arrivals = workload.Arrivals();
        var clients = arrivals.Select(request => world.ClientAsync(request)).ToList();
        if (workload.Crash is { } crash)
        {
            _ = world.CrashAsync(arrivals[^1].At * crash.From, arrivals[^1].At * crash.To);
        }

        time.RunUntil(arrivals[^1].At + TimeSpan.FromHours(1));
        foreach (var client in clients)
        {
            if (!client.IsCompletedSuccessfully)
            {
                throw new InvalidOperationException($"{name}: a client was neither served nor refused, nor gave up: {client.Exception?.InnerException?.Message ?? client.Status.ToString()}");
            }
        }

        world._result.Span = arrivals[^1].At;
        return world._result;
    }

    private async Task ClientAsync(SimulatedRequest request)
    {
        await Task.Delay(request.At, _time);
        using var patience = new CancellationTokenSource(_workload.Patience, _time);
        while (true)
        {
            IGrant? grant;
            try
            {
                grant = await _policy.AcquireAsync(request, patience.Token);
            }
            catch (OperationCanceledException)
            {
                _result.Count(request, SimulatedEnd.GaveUp);
                return;
            }

            if (grant is null)
            {
                _result.Count(request, SimulatedEnd.Refused);
                return;
            }

            if (await ServeAsync(request, grant, patience))
            {
                return;
            }
        }
    }

    /// <returns>False when the server died before the first token: the request goes back.</returns>
    private async Task<bool> ServeAsync(SimulatedRequest request, IGrant grant, CancellationTokenSource patience)
    {
        var death = _deaths[grant.Backend].Token;
        var cached = _memories[grant.Backend].Touch(request);
        var prefill = TimeSpan.FromSeconds((request.Prompt - cached) / _workload.PrefillRate);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, death);
        await Task.Delay(prefill, _time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        if (either.IsCancellationRequested)
        {
            grant.Release(null);
            if (!patience.IsCancellationRequested)
            {
                return false;
            }

            _result.Count(request, SimulatedEnd.GaveUp);
            return true;
        }

        grant.FirstToken(prefill);
        _result.FirstToken(request, _time.Now - request.At, cached);
        await Task.Delay(request.Answer * _workload.TokenTime, _time, death).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        grant.Release(death.IsCancellationRequested ? null : (request.Prompt, cached, request.Answer));
        _result.Count(request, SimulatedEnd.Answered);
        return true;
    }

    private void Die(int backend)
    {
        _policy.SetAlive(backend, false);
        _memories[backend].Clear();
        var death = _deaths[backend];
        _deaths[backend] = new CancellationTokenSource();
        death.Cancel();
        death.Dispose();
    }

    private async Task CrashAsync(TimeSpan from, TimeSpan to)
    {
        await Task.Delay(from, _time);
        Die(0);
        await Task.Delay(to - from, _time);
        _policy.SetAlive(0, true);
    }
}

/// <summary>What a policy made of a workload.</summary>
internal sealed class WorldResult(string policy, Workload workload)
{
    private readonly Latencies _firstToken = new();
    private readonly Latencies _lightFirstToken = new();
    private readonly int[] _ends = new int[Enum.GetValues<SimulatedEnd>().Length];
    private int _requests;
    private int _light;
    private int _good;
    private int _lightGood;
    private int _hits;
    private int _continued;

    public string Policy => policy;

    public Workload Workload => workload;

    /// <summary>From the first to the last arrival.</summary>
    public TimeSpan Span { get; set; }

    /// <summary>Share of all requests whose first token came before the deadline.</summary>
    public double Goodput => (double)_good / _requests;

    /// <summary>The same, of all keys but the hog.</summary>
    public double LightGoodput => (double)_lightGood / Math.Max(1, _light);

    /// <summary>Of the first tokens that came, in seconds.</summary>
    public double FirstTokenP99 => (_firstToken.Percentile(99) ?? double.NaN) / 1000;

    public double LightFirstTokenP99 => (_lightFirstToken.Percentile(99) ?? double.NaN) / 1000;

    /// <summary>Share of turns with a past whose past was still held by the server they went to.</summary>
    public double HitRate => (double)_hits / Math.Max(1, _continued);

    public double AnswersPerSecond => _ends[(int)SimulatedEnd.Answered] / Span.TotalSeconds;

    public int Of(SimulatedEnd end) => _ends[(int)end];

    public void FirstToken(SimulatedRequest request, TimeSpan after, int cached)
    {
        _firstToken.RecordMicroseconds(after.TotalMicroseconds);
        if (request.Key != 0)
        {
            _lightFirstToken.RecordMicroseconds(after.TotalMicroseconds);
        }

        if (after <= workload.Deadline)
        {
            _good++;
            _lightGood += request.Key == 0 ? 0 : 1;
        }

        if (request.Shared > 0)
        {
            _continued++;
            _hits += cached > 0 ? 1 : 0;
        }
    }

    public void Count(SimulatedRequest request, SimulatedEnd end)
    {
        _ends[(int)end]++;
        _requests++;
        _light += request.Key == 0 ? 0 : 1;
    }
}
