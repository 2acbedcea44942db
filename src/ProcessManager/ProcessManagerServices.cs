using System.Diagnostics.Metrics;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Sampling.Gpus;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace LlmGateway.ProcessManager;

/// <summary>The room's entry into a host.</summary>
public static class ProcessManagerServices
{
    /// <summary>Meters of this room and of the probes below it.</summary>
    public static IReadOnlyList<string> MeterNames { get; } = [ReplicaMetrics.MeterName, SamplingMetrics.MeterName, ProbeMetrics.MeterName];

    /// <summary>Adds <see cref="IReplicaSetFactory"/>. Whoever creates sets stops them before the host disposes the factory.</summary>
    public static IServiceCollection AddProcessManager(this IServiceCollection services)
    {
        services.AddOptions<ProcessManagerOptions>()
            .Validate(options => options.StartPermits is >= 1 and <= 256, "StartPermits must be from 1 to 256.")
            .Validate(options => options.SamplePeriod >= TimeSpan.FromMilliseconds(100) && options.SamplePeriod <= TimeSpan.FromMinutes(1), "SamplePeriod must be from 100 ms to 1 min.")
            .ValidateOnStart();
        services.AddMetrics();
        services.TryAddSingleton<ProbeMetrics>();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<IProcessReader>(_ => OperatingSystem.IsLinux() ? new LinuxProcessReader() : new PortableProcessReader());
        services.TryAddSingleton(provider => new ResourceSampler(
            provider.GetRequiredService<IOptions<ProcessManagerOptions>>(),
            provider.GetRequiredService<IProcessReader>(),
            new HostReader(),
            new GpuWatch(GpuReaders.Find, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<GpuWatch>>()),
            provider.GetRequiredService<IMeterFactory>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<ResourceSampler>>()).Start());
        services.TryAddSingleton<IResourceSampler>(provider => provider.GetRequiredService<ResourceSampler>());
        services.TryAddSingleton<IReplicaSetFactory, ReplicaSetFactory>();
        return services;
    }
}
