using System.Text.RegularExpressions;
using LlmGateway.TestKit;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>The metrics that others rely on are described, with the labels that they rely on; the end-to-end tests hold the page against a live scrape.</summary>
public sealed partial class MetricContractTests
{
    /// <summary>What scrapes, rules and dashboards elsewhere may rely on: prefix <c>llmgateway_</c>, labels in order.</summary>
    private static readonly string[] Contract =
    [
        "requests_total{code, endpoint, model, outcome}", "request_duration_seconds{model, stream}", "time_to_first_token_seconds{model, priority}",
        "time_per_output_token_seconds{model}", "requests_in_flight{model}", "overhead_seconds{phase}", "prompt_tokens_total{cached, key, model}", "completion_tokens_total{key, model}",
        "queue_depth{model, priority}", "queue_bytes{model, priority}", "queue_oldest_age_seconds{model, priority}", "queue_limit{model, priority}",
        "queue_wait_seconds{model, outcome, priority}", "rejected_total{model, reason}", "predicted_wait_error_seconds{model}", "affinity_total{model, result}",
        "backend_state{backend, state}", "backend_slots{backend, state}", "breaker_state{backend}", "breaker_transitions_total{backend, from, reason, to}",
        "upstream_outcomes_total{backend, class}", "retries_total{model, reason}",
        "managed_processes{}", "process_healthy{backend}", "process_restarts_total{backend, reason}", "process_exits_total{backend, cause}", "process_start_seconds{backend}",
        "process_cpu_seconds_total{backend}", "process_resident_memory_bytes{backend}", "restart_limit_hits_total{backend}", "memory_budget_bytes{}", "memory_estimated_bytes{backend}",
        "gpu_utilization_ratio{gpu}", "gpu_memory_used_bytes{gpu}",
        "liveness_probes_total{result}", "readiness_probes_total{result}", "probe_duration_seconds{probe, result}", "probe_consecutive_failures{backend, probe}",
        "health_check_duration_seconds{backend}", "build_info{version}",
    ];

    [Fact]
    public void Page_DescribesEveryMetricOfTheContractWithItsLabels()
    {
        var described = File.ReadLines(Path.Combine(RepositoryPaths.Root, "docs", "monitoring.md")).Select(line => Row().Match(line)).Where(row => row.Success)
            .Select(row => $"{row.Groups["name"].Value}{{{row.Groups["labels"].Value}}}").ToHashSet(StringComparer.Ordinal);

        Rule.Holds(Contract.Where(metric => !described.Contains(metric)).Select(metric => $"docs/monitoring.md has no row for llmgateway_{metric}"));
    }

    [GeneratedRegex(@"^\| `llmgateway_(?<name>\w+)` \| \w+ \| (`(?<labels>[^`]*)` )?\|")]
    private static partial Regex Row();
}
