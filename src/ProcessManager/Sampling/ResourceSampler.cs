using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using LlmGateway.ProcessManager.Sampling.Gpus;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace LlmGateway.ProcessManager.Sampling;

/// <inheritdoc cref="IResourceSampler"/>
/// <remarks>
/// One loop looks and publishes; nobody who reads waits for it. The whole process table is gone through only when something was started
/// or ended, and every <see cref="ScanEvery"/>th time, to find processes that a child has started; in between only known ones are read.
/// GPUs have a thread of their own: a driver that lost its device may never come back from a question.
/// </remarks>
internal sealed class ResourceSampler : IResourceSampler, IDisposable
{
    private const int ScanEvery = 5;
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Backend, int Generation), Target> _targets = [];
    private readonly IProcessReader _processes;
    private readonly HostReader _host;
    private readonly GpuWatch? _gpus;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SamplingMetrics _metrics;
    private readonly CancellationTokenSource _over = new();
    private readonly TimeSpan _period;
    private readonly long _born;
    private IReadOnlyDictionary<int, ImmutableArray<int>> _members = ImmutableDictionary<int, ImmutableArray<int>>.Empty;
    private bool _targetsChanged;
    private int _looks;
    private ResourceSnapshot _current = ResourceSnapshot.Empty;

    public ResourceSampler(
        IOptions<ProcessManagerOptions> options, IProcessReader processes, HostReader host, GpuWatch? gpus, IMeterFactory? meters, TimeProvider time, ILogger<ResourceSampler> logger)
    {
        (_processes, _host, _gpus, _time, _logger, _born) = (processes, host, gpus, time, logger, time.GetTimestamp());
        (_period, _metrics) = (options.Value.SamplePeriod, new(() => Current, meters));
    }

    public ResourceSnapshot Current => Volatile.Read(ref _current);

    /// <summary>Begins to look, once.</summary>
    public ResourceSampler Start()
    {
        _ = Task.Run(RunAsync);
        return this;
    }

    /// <summary>Looks at a process, and those of its group, until the result is disposed. Its numbers leave the snapshot at once then.</summary>
    public IDisposable Watch(string backend, int generation, int pid)
    {
        var target = new Target(this, backend, generation, pid);
        lock (_gate)
        {
            _targets[(backend, generation)] = target;
            _targetsChanged = true;
        }

        return target;
    }

    public void Dispose()
    {
        _over.Cancel();
        _gpus?.Dispose();
        _metrics.Dispose();
    }

    /// <summary>One look. The loop's, or a test's that has not started it.</summary>
    internal void Look()
    {
        Target[] targets;
        bool changed;
        lock (_gate)
        {
            targets = [.. _targets.Values.OrderBy(target => target.Generation)]; // where two of one replica overlap, the later one counts
            (changed, _targetsChanged) = (_targetsChanged, false);
        }

        if (targets.Length > 0 && (changed || _looks++ % ScanEvery == 0))
        {
            _members = _processes.Members(targets.Select(target => target.Pid).ToHashSet());
        }

        var (now, at) = (_time.GetElapsedTime(_born), _time.GetUtcNow());
        var samples = ImmutableDictionary.CreateBuilder<string, ProcessSample>(StringComparer.Ordinal);
        foreach (var target in targets)
        {
            // A system without process groups, or a child that has none of its own yet: the process alone.
            var pids = _members.GetValueOrDefault(target.Pid, []) is var members && members.Contains(target.Pid) ? members : [target.Pid];
            ImmutableArray<ProcessReading> readings = [.. pids.Select(_processes.Read).OfType<ProcessReading>()];
            if (target.Meter.Add(readings, now, at) is { } sample)
            {
                samples[target.Backend] = sample;
            }
        }

        var host = _host.Read();
        lock (_gate)
        {
            // What ended while we looked stays out.
            foreach (var target in targets.Where(target => !_targets.ContainsKey((target.Backend, target.Generation))))
            {
                Remove_NeedsLock(samples, target);
            }

            Volatile.Write(ref _current, new(samples.ToImmutable(), host, _gpus?.Current ?? []));
        }
    }

    private static void Remove_NeedsLock(ImmutableDictionary<string, ProcessSample>.Builder samples, Target target)
    {
        if (samples.TryGetValue(target.Backend, out var sample) && sample.Generation == target.Generation)
        {
            samples.Remove(target.Backend);
        }
    }

    private void Forget(Target target)
    {
        lock (_gate)
        {
            if (!_targets.Remove((target.Backend, target.Generation)))
            {
                return;
            }

            _targetsChanged = true;
            if (_current.Of(target.Backend, target.Generation) is not null)
            {
                Volatile.Write(ref _current, _current with { Processes = _current.Processes.Remove(target.Backend) });
            }
        }
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(_period, _time);
        do
        {
            try
            {
                Look();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                Log.SamplingFailed(_logger, e); // the next look may go better; the last snapshot stays
            }
        }
        while (await NextAsync(timer));
    }

    private async ValueTask<bool> NextAsync(PeriodicTimer timer)
    {
        try
        {
            return await timer.WaitForNextTickAsync(_over.Token);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private sealed class Target(ResourceSampler owner, string backend, int generation, int pid) : IDisposable
    {
        public string Backend => backend;

        public int Generation => generation;

        public int Pid => pid;

        /// <summary>Only the loop touches it.</summary>
        public ProcessMeter Meter { get; } = new(backend, generation, pid);

        public void Dispose() => owner.Forget(this);
    }
}
