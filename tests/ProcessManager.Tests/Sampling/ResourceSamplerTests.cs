using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Sampling.Gpus;
using LlmGateway.ProcessManager.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.ProcessManager.Tests.Sampling;

public sealed class ResourceSamplerTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly ScriptedProcesses _processes = new();
    private readonly ResourceSampler _sampler;

    public ResourceSamplerTests() => _sampler = new(
        Options.Create(new ProcessManagerOptions()), _processes, new HostReader("/nowhere", "/nowhere"), gpus: null, meters: null, _time, NullLogger<ResourceSampler>.Instance);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => _sampler.Dispose();

    [Fact]
    public void Look_OneProcess_TellsItsShareOfTheTimeInBetween()
    {
        _processes.Set(10, cpu: 5, resident: 100);
        using var watch = _sampler.Watch("m/0", 1, 10);

        var first = LookAfter(0).Of("m/0", 1)!;
        _processes.Set(10, cpu: 8, resident: 300);
        var second = LookAfter(2).Of("m/0", 1)!;

        Assert.Null(first.CpuPercent);
        Assert.Equal(150, second.CpuPercent!.Value, 3);
        Assert.Equal((TimeSpan.FromSeconds(8), 300, 10), (second.CpuTime, second.ResidentBytes, second.Pid));
        Assert.Equal(TimeSpan.FromSeconds(5), first.CpuTime); // what a reader holds does not change under it
    }

    [Fact]
    public void Look_ChildOfTheChildComesAndGoes_IsAddedAndItsTimeStays()
    {
        _processes.Set(10, cpu: 1, resident: 100);
        _processes.Set(11, cpu: 2, resident: 50, group: 10);
        using var watch = _sampler.Watch("m/0", 1, 10);
        Assert.Equal((TimeSpan.FromSeconds(3), 150, 2), Facts(LookAfter(0)));

        _processes.Remove(11);
        Assert.Equal((TimeSpan.FromSeconds(3), 100, 1), Facts(LookAfter(2)));

        // The number is given out again: a new process, whose time must not count backwards.
        _processes.Set(11, cpu: 1, resident: 10, group: 10, started: 99);
        for (var i = 0; i < 10; i++)
        {
            LookAfter(2);
        }

        Assert.Equal((TimeSpan.FromSeconds(4), 110, 2), Facts(_sampler.Current));
    }

    [Fact]
    public void Look_NextGeneration_StartsFromNothing()
    {
        _processes.Set(10, cpu: 100, resident: 1);
        var watch = _sampler.Watch("m/0", 1, 10);
        LookAfter(0);
        watch.Dispose();
        Assert.Empty(_sampler.Current.Processes); // at once, not at the next look

        _processes.Remove(10);
        _processes.Set(12, cpu: 1, resident: 1);
        using var next = _sampler.Watch("m/0", 2, 12);
        LookAfter(2);

        Assert.Null(_sampler.Current.Of("m/0", 1));
        Assert.Equal((12, null, TimeSpan.FromSeconds(1)), _sampler.Current.Of("m/0", 2) is { } it ? (it.Pid, it.CpuPercent, it.CpuTime) : default);
    }

    [Fact]
    public void Look_NumberBelongsToSomebodyElseByNow_IsNotShown()
    {
        _processes.Set(10, cpu: 1, resident: 1);
        using var watch = _sampler.Watch("m/0", 1, 10);
        LookAfter(0);

        _processes.Set(10, cpu: 50, resident: 1, started: 77);

        Assert.Empty(LookAfter(2).Processes);
    }

    [Fact]
    public void Metrics_ProcessLeaves_ItsSeriesLeaveToo()
    {
        _processes.Set(10, cpu: 7, resident: 4096);
        var watch = _sampler.Watch("sampled/0", 1, 10);
        LookAfter(0);
        Assert.Equal(["llmgateway_process_cpu 7", "llmgateway_process_resident_memory 4096"], Measure("sampled/0"));

        watch.Dispose();
        Assert.Empty(Measure("sampled/0"));
    }

    [Fact]
    public void Gpu_NoDriver_IsAbsentAndNotZero()
    {
        using var watch = new GpuWatch(() => null, _time, NullLogger.Instance);
        Assert.Empty(watch.Current);
        Assert.DoesNotContain(Measure(null), line => line.Contains("gpu", StringComparison.Ordinal));
    }

    [Fact]
    public void Gpu_DriverNeverAnswersAgain_IsForgottenAndNobodyWaits()
    {
        using var gate = new ManualResetEventSlim();
        using var asked = new ManualResetEventSlim();
        var answers = 0;
        using var watch = new GpuWatch(
            () => new ScriptedGpus(() =>
            {
                if (Interlocked.Increment(ref answers) == 1)
                {
                    return [new("0", "G", 0.5, 1, 2)];
                }

                asked.Set();
                gate.Wait(CancellationToken.None);
                return [];
            }),
            _time,
            NullLogger.Instance);
        asked.Wait(Ct);

        Assert.Equal(0.5, Assert.Single(watch.Current).Utilization);
        _time.Advance(GpuWatch.StaleAfter + TimeSpan.FromSeconds(1));
        Assert.Empty(watch.Current);
        gate.Set();
    }

    [Fact]
    public void Gpu_ReaderThrows_IsSaidOnceAndEnds()
    {
        var logs = new CollectedLogs();
        using var watch = new GpuWatch(() => throw new IOException("no device"), _time, logs);
        SpinWait.SpinUntil(() => !logs.Lines.IsEmpty, TimeSpan.FromSeconds(20));
        Assert.Contains("no device", Assert.Single(logs.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Nvml_SystemLibraryWithoutItsFunctions_IsNoGpu()
    {
        Assert.Null(Nvml.TryLoad("no-such-library.so.9"));
        Assert.Null(Nvml.TryLoad("libc.so.6", "kernel32.dll"));
    }

    private static List<string> Measure(string? backend)
    {
        var found = new List<string>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, it) =>
        {
            if (instrument.Meter.Name == SamplingMetrics.MeterName)
            {
                it.EnableMeasurementEvents(instrument);
            }
        };
        void Record<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
        {
            if (backend is null || tags.ToArray().Any(tag => tag.Value is string text && text == backend))
            {
                found.Add($"{instrument.Name} {value}");
            }
        }

        listener.SetMeasurementEventCallback<long>(Record);
        listener.SetMeasurementEventCallback<double>(Record);
        listener.Start();
        listener.RecordObservableInstruments();
        return found;
    }

    private static (TimeSpan Cpu, long Resident, int Processes) Facts(ResourceSnapshot snapshot) =>
        snapshot.Of("m/0", 1) is { } sample ? (sample.CpuTime, sample.ResidentBytes, sample.Processes) : default;

    private ResourceSnapshot LookAfter(double seconds)
    {
        _time.Advance(TimeSpan.FromSeconds(seconds));
        _sampler.Look();
        return _sampler.Current;
    }

    private sealed class ScriptedGpus(Func<ImmutableArray<GpuSample>> read) : IGpuReader
    {
        public TimeSpan Period => TimeSpan.Zero;

        public ImmutableArray<GpuSample> Read() => read();
    }

    private sealed class ScriptedProcesses : IProcessReader
    {
        private readonly Lock _gate = new();
        private readonly Dictionary<int, (int Group, ProcessReading Reading)> _living = [];

        public void Set(int pid, double cpu, long resident, int? group = null, long started = 1)
        {
            lock (_gate)
            {
                _living[pid] = (group ?? pid, new(pid, started, false, TimeSpan.FromSeconds(cpu), resident, null, null, null, null));
            }
        }

        public void Remove(int pid)
        {
            lock (_gate)
            {
                _living.Remove(pid);
            }
        }

        public IReadOnlyDictionary<int, ImmutableArray<int>> Members(IReadOnlySet<int> groups)
        {
            lock (_gate)
            {
                return _living.Where(one => groups.Contains(one.Value.Group)).GroupBy(one => one.Value.Group, one => one.Key)
                    .ToDictionary(group => group.Key, group => group.ToImmutableArray());
            }
        }

        public ProcessReading? Read(int pid)
        {
            lock (_gate)
            {
                return _living.TryGetValue(pid, out var one) ? one.Reading : null;
            }
        }
    }
}
