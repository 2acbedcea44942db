using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace LlmGateway.ProcessManager;

/// <summary>The room's entry into a host.</summary>
public static class ProcessManagerServices
{
    /// <summary>Meters of this room and of the probes below it.</summary>
    public static IReadOnlyList<string> MeterNames { get; } = [ReplicaMetrics.MeterName, ProbeMetrics.MeterName];

    /// <summary>Adds <see cref="IReplicaSetFactory"/>. Whoever creates sets stops them before the host disposes the factory.</summary>
    public static IServiceCollection AddProcessManager(this IServiceCollection services)
    {
        services.AddOptions<ProcessManagerOptions>()
            .Validate(options => options.StartPermits is >= 1 and <= 256, "StartPermits must be from 1 to 256.")
            .ValidateOnStart();
        services.AddMetrics();
        services.TryAddSingleton<ProbeMetrics>();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<IReplicaSetFactory, ReplicaSetFactory>();
        return services;
    }
}
