using System.Collections.Immutable;

namespace LlmGateway.Gateway.Scaling.Residency;

/// <summary>One round of <see cref="ResidencyDecision"/>: what is free, who makes room and for whom, and the steps so far.</summary>
internal sealed class ResidencyPlan
{
    private readonly ImmutableArray<ResidentModel> _models;
    private readonly ResidencyLimits _limits;
    private readonly ImmutableArray<ResidencyStep>.Builder _steps = ImmutableArray.CreateBuilder<ResidencyStep>();

    /// <summary>Who makes room, and for whom.</summary>
    private readonly Dictionary<string, string> _victims = [];

    /// <summary>Who gives back a replica, and for whom.</summary>
    private readonly Dictionary<string, string> _givers = [];

    /// <summary>Groups that are spoken for in this round.</summary>
    private readonly HashSet<string> _groups = [];

    /// <summary>Free at this moment, and free when everybody on the way out is gone and everybody placed so far is in.</summary>
    private Footprint _now;
    private Footprint _later;

    /// <summary>Somebody waits for memory: what is free is his.</summary>
    private bool _isContended;

    public ResidencyPlan(ImmutableArray<ResidentModel> models, ResidencyLimits limits)
    {
        (_models, _limits) = (models, limits);
        _now = limits.Budget - Sum(models.Where(model => model.IsResident));
        _later = models.Where(model => model.IsResident).Aggregate(_now, (sum, model) => sum + (model.IsLeaving ? model.Memory : model.Ending));
    }

    public ImmutableArray<ResidencyStep> Steps => _steps.ToImmutable();

    /// <summary>Finds room for a model that is wanted and not resident.</summary>
    public void Place(ResidentModel wanted)
    {
        // What can't be made to leave for it: pinned models with their least replicas, its own group apart, which it replaces.
        var pinned = _models.Where(model => model.IsResident && model.IsPinned && !IsRival(model, wanted))
            .Aggregate(default(Footprint), (sum, model) => sum + model.Memory - model.Ending - (model.SurplusReplicas * model.PerReplica));
        if (wanted.SizeUnknown is { } unknown)
        {
            _steps.Add(new ResidencyStep.Refuse(wanted.Name, unknown));
            return;
        }

        if (!(_limits.Budget - pinned - wanted.Memory).IsCovered)
        {
            _steps.Add(new ResidencyStep.Refuse(wanted.Name, Shortage(wanted.Memory, pinned)));
            return;
        }

        if (wanted.Group is { } group && !_groups.Add(group))
        {
            // Somebody of its group has waited longer.
            _steps.Add(new ResidencyStep.Wait(wanted.Name, null));
            return;
        }

        var rivals = _models.Where(model => model.IsResident && IsRival(model, wanted)).ToArray();
        if (!TryMakeRoom(wanted, rivals))
        {
            // Nobody can be asked yet. What is free stays free for others until then.
            _isContended = true;
            _steps.Add(new ResidencyStep.Wait(wanted.Name, rivals.Length > 0 && (_later - wanted.Memory).IsCovered ? null : Shortage(wanted.Memory, pinned)));
            return;
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
            return;
        }

        // Whoever is on the way out makes room for the one that waits for it.
        foreach (var leaving in _models.Where(model => model.IsLeaving && !fitsNow))
        {
            _victims.TryAdd(leaving.Name, wanted.Name);
        }

        _isContended |= !fitsNow;
        _steps.Add(new ResidencyStep.Wait(wanted.Name, fitsNow && !_limits.IsPressed ? null : Shortage(wanted.Memory, pinned)));
    }

    /// <summary>Gives a resident model more replicas, as far as there is room: for its load's sake only what nobody else wants.</summary>
    public void Enlarge(ResidentModel model)
    {
        if (_victims.ContainsKey(model.Name) || _givers.ContainsKey(model.Name))
        {
            return;
        }

        var most = model.WantedReplicas!.Value - model.Replicas;
        var least = model.IsGrowthOrdered ? most : 1;
        var isBarred = _limits.IsPressed || model.SizeUnknown is not null || (_isContended && !model.IsGrowthOrdered);
        for (var more = isBarred ? 0 : most; more >= least; more--)
        {
            var memory = more * model.PerReplica;
            if ((_now - memory).IsCovered && (_later - memory).IsCovered)
            {
                (_now, _later) = (_now - memory, _later - memory);
                _steps.Add(new ResidencyStep.Grow(model.Name, model.Replicas + more));
                return;
            }
        }

        if (model.IsGrowthOrdered && (isBarred || !TryEvictIdle(model, most * model.PerReplica)))
        {
            _steps.Add(new ResidencyStep.RefuseGrowth(model.Name, model.SizeUnknown ?? Shortage(most * model.PerReplica, default)));
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
            case ResidencyPhase.Loaded when _victims.ContainsKey(model.Name):
                break;
            case ResidencyPhase.Loaded when model.IsIdle
                && (model.IdleFor >= model.IdleTimeout || (_limits.IsPressed && !model.IsPinned && model.ResidentFor >= _limits.MinimumResidence)):
                _steps.Add(new ResidencyStep.Unload(model.Name, null));
                break;
            case ResidencyPhase.Loaded when _givers.TryGetValue(model.Name, out var taker):
                _steps.Add(new ResidencyStep.GiveBack(model.Name, taker));
                break;
            case ResidencyPhase.Loaded when model.WantedReplicas < model.Replicas && model.Ending.IsNothing:
                _steps.Add(new ResidencyStep.GiveBack(model.Name, null));
                break;
        }
    }

    private static bool IsRival(ResidentModel model, ResidentModel wanted) => wanted.Group is not null && model.Group == wanted.Group && model.Name != wanted.Name;

    /// <summary>Asks those to leave, besides those who are leaving, whose room it needs: idle models, then replicas that others can do without, then models that have had their turn.</summary>
    /// <returns>False when that can't be had now; then nobody is asked.</returns>
    private bool TryMakeRoom(ResidentModel wanted, ResidentModel[] rivals)
    {
        var victims = rivals.Where(model => !model.IsLeaving).ToList();
        if (!victims.TrueForAll(CanBeAsked))
        {
            return false;
        }

        var room = _later + Sum(victims) - wanted.Memory;
        var others = _models.Where(model => !model.IsLeaving && !model.Memory.IsNothing && !IsRival(model, wanted)).ToArray();
        var askable = others.Where(model => !model.IsPinned && CanBeAsked(model)).OrderByDescending(model => model.KeepPriority).ThenByDescending(Worthlessness).ToArray();
        foreach (var idle in askable.Where(model => model.IsIdle))
        {
            if (idle.Memory.Relieves(room))
            {
                victims.Add(idle);
                room += idle.Memory - idle.Ending;
            }
        }

        var givers = new Dictionary<string, int>();
        foreach (var giver in others.Where(model => !victims.Contains(model) && !_victims.ContainsKey(model.Name)).OrderByDescending(model => model.KeepPriority))
        {
            for (var surplus = giver.SurplusReplicas; surplus > 0 && giver.PerReplica.Relieves(room); surplus--)
            {
                givers[giver.Name] = givers.GetValueOrDefault(giver.Name) + 1;
                room += giver.PerReplica;
            }
        }

        foreach (var busy in askable.Where(model => !model.IsIdle))
        {
            if (busy.Memory.Relieves(room))
            {
                victims.Add(busy);
                room += busy.Memory - busy.Ending - (givers.GetValueOrDefault(busy.Name) * busy.PerReplica);
            }
        }

        if (!room.IsCovered)
        {
            return false;
        }

        foreach (var victim in victims)
        {
            Ask(victim, wanted);
            givers.Remove(victim.Name);
        }

        foreach (var (giver, count) in givers)
        {
            _givers[giver] = wanted.Name;
            _later += count * _models.First(model => model.Name == giver).PerReplica;
        }

        return true;
    }

    /// <summary>Asks idle models to leave for more replicas of a model; nobody when that would not do.</summary>
    private bool TryEvictIdle(ResidentModel model, Footprint memory)
    {
        var room = _later - memory;
        var victims = new List<ResidentModel>();
        foreach (var idle in _models.Where(other => !other.IsPinned && other.IsIdle && other != model && !other.Memory.IsNothing && CanBeAsked(other))
            .OrderByDescending(other => other.KeepPriority).ThenByDescending(Worthlessness))
        {
            if (idle.Memory.Relieves(room))
            {
                victims.Add(idle);
                room += idle.Memory - idle.Ending;
            }
        }

        if (room.IsCovered)
        {
            victims.ForEach(victim => Ask(victim, model));
            _later -= memory;
        }

        return room.IsCovered;
    }

    private void Ask(ResidentModel victim, ResidentModel wanted)
    {
        _victims[victim.Name] = wanted.Name;
        _later += victim.Memory - victim.Ending;
        _steps.Add(victim.IsIdle ? new ResidencyStep.Unload(victim.Name, wanted.Name) : new ResidencyStep.Drain(victim.Name, wanted.Name));
    }

    private bool CanBeAsked(ResidentModel model) =>
        model.Phase == ResidencyPhase.Loaded && !_victims.ContainsKey(model.Name) && !_givers.ContainsKey(model.Name) && (model.IsIdle || HasServed(model));

    /// <summary>A model that works is left alone until it has had its turn.</summary>
    private bool HasServed(ResidentModel model) =>
        model.ResidentFor >= (2 * model.LoadCost > _limits.MinimumResidence ? 2 * model.LoadCost : _limits.MinimumResidence);

    /// <summary>Idle ones by how long they have been so against what it costs to have them back; working ones by how long they have had their turn.</summary>
    private static double Worthlessness(ResidentModel model) =>
        model.IsIdle ? model.IdleFor.TotalSeconds / (1 + model.LoadCost.TotalSeconds) : model.ResidentFor.TotalSeconds;

    private string Shortage(Footprint needed, Footprint pinned)
    {
        var used = Sum(_models.Where(model => model.IsResident));
        return $"it needs {needed}; of a budget of {_limits.Budget}, {used} are taken{(pinned.IsNothing ? "" : $", {pinned} of it by models that stay loaded")}"
            + (_limits.IsPressed ? ", and the machine is short of memory" : "");
    }

    private static Footprint Sum(IEnumerable<ResidentModel> models) => models.Aggregate(default(Footprint), (sum, model) => sum + model.Memory);
}
