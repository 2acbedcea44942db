using System.Collections.Immutable;

namespace LlmGateway.Gateway.Scaling.Residency;

/// <summary>Decides which models are resident and with how many replicas: loads, evictions, swaps, idle unloads, growth. Pure.</summary>
/// <remarks>
/// Promises, each with a test: the resident models never take more than the budget, and of one group at most one is resident; only an idle
/// model is unloaded; a pinned one never is for another's sake; whoever has waited longest is served first, and room that is being made for
/// him is not given to another; a model that works is asked to make room only when it has served its minimum, so nobody starves and nothing
/// thrashes; replicas beyond the least are added only to room that nobody waits for, and are given back when somebody does.
/// </remarks>
internal static class ResidencyDecision
{
    public static ImmutableArray<ResidencyStep> Decide(ImmutableArray<ResidentModel> models, ResidencyLimits limits)
    {
        var plan = new ResidencyPlan(models, limits);
        foreach (var wanted in models.Where(model => model is { Phase: ResidencyPhase.Unloaded, WantedFor: not null }).OrderByDescending(model => model.WantedFor))
        {
            plan.Place(wanted);
        }

        foreach (var model in models.Where(model => model.WantedReplicas > model.Replicas && model.Phase is ResidencyPhase.Loading or ResidencyPhase.Loaded))
        {
            plan.Enlarge(model);
        }

        foreach (var model in models)
        {
            plan.Settle(model);
        }

        return plan.Steps;
    }
}
