using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Operations.Health;
using LlmGateway.Gateway.Operations.History;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scaling;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;
using LlmGateway.ProcessManager;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway;

/// <summary>What the data plane is made of, room by room.</summary>
internal static class DataPlaneServices
{
    public static IServiceCollection AddDataPlane(this IServiceCollection services, LoadedConfiguration configuration, TimeProvider time)
    {
        var options = configuration.Options;
        var live = new LiveCatalogue(new ModelCatalogue(options));
        live.Report(new(configuration.Path, null, []));
        services.AddRouting().AddCors().AddHttpForwarder().AddProcessManager();
        return services
            .AddSingleton(time)
            .AddSingleton(configuration)
            .AddSingleton(options)
            .AddSingleton(live)
            .AddSingleton(new BodyBudget((options.Queue.MaxBytes ?? ByteSize.FromMiB(256)).Bytes) { LongestBody = options.Gateway.MaxRequestBody.Bytes })
            .AddSingleton<RequestReader>()
            .AddSingleton<RequestMetrics>()
            .AddSingleton(new KeyRing(options.Keys))
            .AddSingleton<FailedAttempts>()
            .AddSingleton<EventFeed>()
            .AddSingleton<EventBursts>()
            .AddSingleton<BackendRegistry>()
            .AddSingleton<BackendEvents>()
            .AddSingleton<BackendMetrics>()
            .AddSingleton<LlamaServerMetrics>()
            .AddSingleton<ISlotCensus, SlotCensus>()
            .AddSingleton<SlotReclaimer>()
            .AddSingleton<SchedulingMetrics>()
            .AddSingleton<SchedulingNews>()
            .AddSingleton<KeyLimits>()
            .AddSingleton<Scheduler>()
            .AddSingleton<IReplicaTraffic, ReplicaTraffic>()
            .AddSingleton<BackendSources>()
            .AddSingleton<ModelMemory>()
            .AddSingleton<ModelKeeper>()
            .AddSingleton<ScalingMetrics>()
            .AddSingleton<Reloader>()
            .AddSingleton<ConfigurationWatch>()
            .AddSingleton<BackendInvokers>()
            .AddSingleton<AttemptForwarders>()
            .AddSingleton<StreamRecovery>()
            .AddSingleton<InferenceHandler>()
            .AddSingleton<InferenceCalls>()
            .AddSingleton<UpstreamRelay>()
            .AddSingleton<Lifecycle>()
            .AddSingleton<BuildMetrics>()
            .AddSingleton<PoolWatch>()
            .AddSingleton<CompilerMemory>()
            .AddSingleton<StreamLimit>()
            .AddSingleton<EventStream>()
            .AddSingleton<RequestLedger>()
            .AddSingleton<RequestList>()
            .AddSingleton<ReplicaCommands>()
            .AddSingleton<ReplicaLogs>()
            .AddSingleton<TrafficHistory>()
            .AddSingleton<HealthHistory>()
            .AddSingleton<BackgroundLook>()
            .AddSingleton<LiveView>()
            .AddSingleton<StatusReporter>();
    }
}
