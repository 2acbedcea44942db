using System.Diagnostics.Metrics;
using System.Text.Json;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Backends;

/// <summary>The backends' and processes' numbers, read off the registry at each scrape: a backend that left takes its series along.</summary>
internal sealed class BackendMetrics
{
    public const string MeterName = "LlmGateway.Backends";

    private static readonly (ReplicaState State, string Label)[] States =
        [.. Enum.GetValues<ReplicaState>().Select(state => (state, JsonNamingPolicy.SnakeCaseLower.ConvertName(state.ToString())))];

    private readonly BackendRegistry _registry;

    public BackendMetrics(IMeterFactory meters, BackendRegistry registry)
    {
        _registry = registry;
        var meter = meters.Create(MeterName);
        meter.CreateObservableGauge("llmgateway_managed_processes", () => Replicas().Count(replica => replica.Pid is not null), description: "Processes that the gateway runs.");
        meter.CreateObservableGauge(
            "llmgateway_backend_state",
            () => from entry in Entries()
                  let current = entry.Replica?.State ?? (entry.Condition == BackendCondition.Ready ? ReplicaState.Ready : ReplicaState.NotReady)
                  from state in States
                  select new Measurement<int>(current == state.State ? 1 : 0, new("backend", entry.Name), new("state", state.Label)),
            description: "1 for the state that the backend is in.");
        meter.CreateObservableGauge("llmgateway_process_healthy", () => PerBackend(replica => replica.IsRoutable ? 1 : 0), description: "1 while the process takes work.");
    }

    private IEnumerable<BackendEntry> Entries() => _registry.Snapshots.SelectMany(snapshot => snapshot.Entries);

    private IEnumerable<ReplicaStatus> Replicas() => Entries().Select(entry => entry.Replica).OfType<ReplicaStatus>();

    private IEnumerable<Measurement<int>> PerBackend(Func<ReplicaStatus, int> value) =>
        Replicas().Select(replica => new Measurement<int>(value(replica), new KeyValuePair<string, object?>("backend", replica.Backend)));
}
