using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scaling;

/// <summary>The memory that models may take and are expected to take, read off the keeper at each scrape.</summary>
internal sealed class ScalingMetrics
{
    public const string MeterName = "LlmGateway.Scaling";

    public ScalingMetrics(IMeterFactory meters, LiveCatalogue live, BackendRegistry registry, ModelKeeper keeper, ModelMemory memory)
    {
        var meter = meters.Create(MeterName);
        meter.CreateObservableGauge(
            "llmgateway_memory_budget_bytes",
            () => memory.Budget(live.Options.Memory) is var budget && budget.Gpu > 0 ? budget.Gpu : budget.Ram,
            description: "Memory that all local models may take together: of the GPUs if there are any, else of the machine.");
        meter.CreateObservableGauge(
            "llmgateway_replicas_wanted",
            () => live.Current.Models.Where(model => model.IsLocal).Select(model => new Measurement<int>(model.Replicas, new KeyValuePair<string, object?>("model", model.Name))),
            description: "Processes that a loaded model is to have: as configured, as an operator has said, or as its load needs.");
        meter.CreateObservableGauge("llmgateway_memory_estimated_bytes", () => Estimated(registry, keeper), description: "Memory that the backend's process is expected to take.");
    }

    private static IEnumerable<Measurement<long>> Estimated(BackendRegistry registry, ModelKeeper keeper) =>
        from snapshot in registry.Snapshots
        where keeper.Estimates.ContainsKey(snapshot.Model)
        let size = keeper.Estimates[snapshot.Model]
        from entry in snapshot.Entries
        select new Measurement<long>(size.Ram + size.Gpu, new KeyValuePair<string, object?>("backend", entry.Name));
}
