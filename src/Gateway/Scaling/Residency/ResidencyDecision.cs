using System.Collections.Immutable;

namespace LlmGateway.Gateway.Scaling.Residency;

/// <summary>Decides which models are resident: loads, evictions, swaps and idle unloads. Pure.</summary>
/// <remarks>
/// Promises, each with a test: the resident models never take more than the budget, and of one group at most one is resident; only an idle
/// model is unloaded; a pinned one never is for another's sake; whoever has waited longest is served first, and room that is being made for
/// him is not given to another; a model that works is asked to make room only when it has served its minimum, so nobody starves and nothing thrashes.
/// </remarks>
internal static class ResidencyDecision
{
    public static ImmutableArray<ResidencyStep> Decide(ImmutableArray<ResidentModel> models, ResidencyLimits limits)
    {
        var plan = new Plan(models, limits);
        foreach (var wanted in models.Where(model => model is { Phase: ResidencyPhase.Unloaded, WantedFor: not null }).OrderByDescending(model => model.WantedFor))
        {
            plan.Place(wanted);
        }

        foreach (var model in models)
        {
            plan.Settle(model);
        }

        return plan.Steps;
    }

    /// <summary>How much longer a model that works is left alone.</summary>
    private static bool HasServed(ResidentModel model, ResidencyLimits limits) =>
        model.ResidentFor >= (2 * model.LoadCost > limits.MinimumResidence ? 2 * model.LoadCost : limits.MinimumResidence);

    private sealed class Plan
    {
        private readonly ImmutableArray<ResidentModel> _models;
        private readonly ResidencyLimits _limits;
        private readonly ImmutableArray<ResidencyStep>.Builder _steps = ImmutableArray.CreateBuilder<ResidencyStep>();

        /// <summary>Who makes room, and for whom.</summary>
        private readonly Dictionary<string, string> _victims = [];

        /// <summary>Groups that are spoken for in this round.</summary>
        private readonly HashSet<string> _groups = [];

        /// <summary>Free at this moment, and free when everybody on the way out is gone and everybody placed so far is in.</summary>
        private Footprint _now;
        private Footprint _later;

        public Plan(ImmutableArray<ResidentModel> models, ResidencyLimits limits)
        {
            (_models, _limits) = (models, limits);
            _now = limits.Budget - Sum(models.Where(model => model.IsResident));
            _later = _now + Sum(models.Where(model => model.IsLeaving));
        }

        public ImmutableArray<ResidencyStep> Steps => _steps.ToImmutable();

        public void Place(ResidentModel wanted)
        {
            // What can't be made to leave for it: pinned models, its own group apart, which it replaces.
            var pinned = Sum(_models.Where(model => model.IsResident && model.IsPinned && !IsRival(model, wanted)));
            if (wanted.SizeUnknown is { } unknown)
            {
                _steps.Add(new ResidencyStep.Refuse(wanted.Name, unknown));
                return;
            }

            if (!(_limits.Budget - pinned - wanted.Memory).IsCovered)
            {
                _steps.Add(new ResidencyStep.Refuse(wanted.Name, Shortage(wanted, pinned)));
                return;
            }

            if (wanted.Group is { } group && !_groups.Add(group))
            {
                // Somebody of its group has waited longer.
                _steps.Add(new ResidencyStep.Wait(wanted.Name, null));
                return;
            }

            var rivals = _models.Where(model => model.IsResident && IsRival(model, wanted)).ToArray();
            var victims = Victims(wanted, rivals);
            if (victims is null)
            {
                // Nobody can be asked yet. What is free stays free for others until then.
                _steps.Add(new ResidencyStep.Wait(wanted.Name, rivals.Length > 0 && (_later - wanted.Memory).IsCovered ? null : Shortage(wanted, pinned)));
                return;
            }

            foreach (var victim in victims)
            {
                _victims[victim.Name] = wanted.Name;
                _later += victim.Memory;
                _steps.Add(victim.IsIdle ? new ResidencyStep.Unload(victim.Name, wanted.Name) : new ResidencyStep.Drain(victim.Name, wanted.Name));
            }

            foreach (var leaving in rivals.Where(model => model.IsLeaving))
            {
                _victims[leaving.Name] = wanted.Name;
            }

            _later -= wanted.Memory;
            var fitsNow = (_now - wanted.Memory).IsCovered;
            if (rivals.Length == 0 && fitsNow && !_limits.IsPressed)
            {
                _now -= wanted.Memory;
                _steps.Add(new ResidencyStep.Load(wanted.Name));
            }
            else
            {
                // Whoever is on the way out makes room for the one that waits for it.
                foreach (var leaving in _models.Where(model => model.IsLeaving && !fitsNow))
                {
                    _victims.TryAdd(leaving.Name, wanted.Name);
                }

                _steps.Add(new ResidencyStep.Wait(wanted.Name, fitsNow && !_limits.IsPressed ? null : Shortage(wanted, pinned)));
            }
        }

        /// <summary>What a resident model does that nobody has asked to make room, or that is being drained.</summary>
        public void Settle(ResidentModel model)
        {
            switch (model.Phase)
            {
                case ResidencyPhase.Draining when model.DrainingFor > _limits.DrainPatience || !_victims.ContainsKey(model.Name):
                    _steps.Add(new ResidencyStep.Resume(model.Name));
                    break;
                case ResidencyPhase.Draining when !model.IsBusy:
                    _steps.Add(new ResidencyStep.Unload(model.Name, _victims[model.Name]));
                    break;
                case ResidencyPhase.Loaded when model.IsIdle && !_victims.ContainsKey(model.Name)
                    && (model.IdleFor >= model.IdleTimeout || (_limits.IsPressed && !model.IsPinned && model.ResidentFor >= _limits.MinimumResidence)):
                    _steps.Add(new ResidencyStep.Unload(model.Name, null));
                    break;
            }
        }

        private static bool IsRival(ResidentModel model, ResidentModel wanted) => wanted.Group is not null && model.Group == wanted.Group && model.Name != wanted.Name;

        /// <summary>Who has to leave for it, besides those who are leaving; null when that can't be had now.</summary>
        private List<ResidentModel>? Victims(ResidentModel wanted, ResidentModel[] rivals)
        {
            var victims = new List<ResidentModel>();
            foreach (var rival in rivals.Where(model => !model.IsLeaving))
            {
                if (!CanBeAsked(rival))
                {
                    return null;
                }

                victims.Add(rival);
            }

            var room = _later + Sum(victims) - wanted.Memory;
            foreach (var model in _models.Where(model => !model.IsPinned && !model.IsLeaving && !model.Memory.IsNothing && !IsRival(model, wanted) && CanBeAsked(model))
                .OrderBy(model => !model.IsIdle)
                .ThenByDescending(Worthlessness))
            {
                if (room.IsCovered)
                {
                    break;
                }

                victims.Add(model);
                room += model.Memory;
            }

            return room.IsCovered ? victims : null;
        }

        private bool CanBeAsked(ResidentModel model) =>
            model.Phase == ResidencyPhase.Loaded && !_victims.ContainsKey(model.Name) && (model.IsIdle || HasServed(model, _limits));

        /// <summary>Idle ones by how long they have been so against what it costs to have them back; working ones by how long they have had their turn.</summary>
        private static double Worthlessness(ResidentModel model) =>
            model.IsIdle ? model.IdleFor.TotalSeconds / (1 + model.LoadCost.TotalSeconds) : model.ResidentFor.TotalSeconds;

        private string Shortage(ResidentModel wanted, Footprint pinned)
        {
            var used = Sum(_models.Where(model => model.IsResident));
            return $"it needs {wanted.Memory}; of a budget of {_limits.Budget}, {used} are taken{(pinned.IsNothing ? "" : $", {pinned} of it by models that stay loaded")}"
                + (_limits.IsPressed ? ", and the machine is short of memory" : "");
        }

        private static Footprint Sum(IEnumerable<ResidentModel> models) => models.Aggregate(default(Footprint), (sum, model) => sum + model.Memory);
    }
}
