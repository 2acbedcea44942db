using System.Diagnostics.Metrics;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>The snapshot as metrics, read at each scrape: what left the snapshot takes its series along. Without a GPU there is no series, not one of zeros.</summary>
internal sealed class SamplingMetrics : IDisposable
{
    public const string MeterName = "LlmGateway.ProcessManager.Sampling";

    private readonly Func<ResourceSnapshot> _current;
    private readonly Meter _meter;

    /// <param name="current">The last look.</param>
    /// <param name="meters">Marks whose the meter is; null where nobody collects.</param>
    public SamplingMetrics(Func<ResourceSnapshot> current, IMeterFactory? meters)
    {
        (_current, _meter) = (current, new(new MeterOptions(MeterName) { Scope = meters }));
        _meter.CreateObservableCounter(
            "llmgateway_process_cpu", () => PerBackend(sample => (double?)sample.CpuTime.TotalSeconds), "s", "CPU time of the backend's process and its children.");
        _meter.CreateObservableGauge(
            "llmgateway_process_resident_memory", () => PerBackend(sample => (long?)sample.ResidentBytes), "By", "Resident memory of the backend's process and its children, mapped weights included.");
        _meter.CreateObservableGauge(
            "llmgateway_process_anonymous_memory", () => PerBackend(sample => sample.AnonymousBytes), "By", "The part of it that the backend shares with nobody.");
        _meter.CreateObservableGauge(
            "llmgateway_process_open_files", () => PerBackend(sample => (long?)sample.OpenFiles), description: "Open descriptors of the backend's process and its children.");
        _meter.CreateObservableGauge(
            "llmgateway_host_memory_available", () => One(_current().Host.MemoryAvailableBytes), "By", "Memory that can still be taken, on the machine or within the container's limit.");
        _meter.CreateObservableGauge(
            "llmgateway_host_memory", () => One(_current().Host.MemoryTotalBytes), "By", "Memory of the machine, or the container's limit.");
        _meter.CreateObservableGauge("llmgateway_host_pressure_ratio", Pressures, description: "Share of the last 10 s in which some (or all) work waited for the resource.");
        _meter.CreateObservableGauge("llmgateway_gpu_utilization_ratio", () => PerGpu(gpu => gpu.Utilization), description: "Share of time in which the GPU worked.");
        _meter.CreateObservableGauge("llmgateway_gpu_memory_used", () => PerGpu(gpu => gpu.MemoryUsedBytes), "By", "Memory in use on the GPU, by everybody.");
        _meter.CreateObservableGauge("llmgateway_gpu_memory", () => PerGpu(gpu => gpu.MemoryTotalBytes), "By", "All memory of the GPU.");
    }

    public void Dispose() => _meter.Dispose();

    private static IEnumerable<Measurement<long>> One(long? value) => value is { } it ? [new(it)] : [];

    private IEnumerable<Measurement<T>> PerBackend<T>(Func<ProcessSample, T?> value)
        where T : struct =>
        from sample in _current().Processes.Values
        let measured = value(sample)
        where measured is not null
        select new Measurement<T>(measured.Value, new KeyValuePair<string, object?>("backend", sample.Backend));

    private IEnumerable<Measurement<T>> PerGpu<T>(Func<GpuSample, T?> value)
        where T : struct =>
        from gpu in _current().Gpus
        let measured = value(gpu)
        where measured is not null
        select new Measurement<T>(measured.Value, new KeyValuePair<string, object?>("gpu", gpu.Id));

    private IEnumerable<Measurement<double>> Pressures()
    {
        var host = _current().Host;
        foreach (var (resource, pressure) in new[] { ("cpu", host.Cpu), ("memory", host.Memory), ("io", host.Io) })
        {
            if (pressure is { } it)
            {
                yield return new(it.Some, new("resource", resource), new("stalled", "some"));
                yield return new(it.Full, new("resource", resource), new("stalled", "full"));
            }
        }
    }
}
