using CsCheck;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scaling.Residency;

namespace LlmGateway.Gateway.Tests.Scaling;

public sealed class ResidencyDecisionTests
{
    private const long Gib = 1L << 30;

    private static readonly ResidencyLimits Limits = new(new(10 * Gib, 0), IsPressed: false, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(60));

    [Fact]
    public void Wanted_Fits_IsLoaded() => Assert.Equal([new ResidencyStep.Load("a")], Decide(Wanted("a", 4)));

    [Fact]
    public void Wanted_LargerThanTheBudget_IsRefusedWithTheNumbers()
    {
        var refuse = Assert.IsType<ResidencyStep.Refuse>(Assert.Single(Decide(Wanted("a", 12))));
        Assert.Equal("it needs 12 GiB; of a budget of 10 GiB, 0 MiB are taken", refuse.Why);
    }

    [Fact]
    public void Wanted_PinnedModelsLeaveNoRoomEver_IsRefused()
    {
        var refuse = Assert.IsType<ResidencyStep.Refuse>(Assert.Single(Decide(Loaded("pinned", 7) with { IsPinned = true, IdleFor = TimeSpan.FromHours(1) }, Wanted("a", 4))));
        Assert.Contains("by models that stay loaded", refuse.Why, StringComparison.Ordinal);
    }

    [Fact]
    public void Wanted_NoRoom_EvictsTheIdleModelThatIsWorthLeast()
    {
        var steps = Decide(
            Loaded("dear", 4) with { IdleFor = TimeSpan.FromSeconds(60), LoadCost = TimeSpan.FromSeconds(30) },
            Loaded("cheap", 4) with { IdleFor = TimeSpan.FromSeconds(40), LoadCost = TimeSpan.FromSeconds(1) },
            Loaded("busy", 2) with { IsBusy = true, ResidentFor = TimeSpan.FromHours(1) },
            Wanted("a", 3));
        Assert.Equal(new ResidencyStep.Unload("cheap", "a"), steps[0]);
        Assert.IsType<ResidencyStep.Wait>(Assert.Single(steps, step => step.Model == "a"));
        Assert.Equal(2, steps.Length);
    }

    [Fact]
    public void Wanted_OnlyBusyModels_AsksTheOneThatHasHadItsTurn()
    {
        var young = Loaded("young", 5) with { IsBusy = true, ResidentFor = TimeSpan.FromSeconds(4) };
        var old = Loaded("old", 5) with { Waiting = 3, ResidentFor = TimeSpan.FromSeconds(6) };
        Assert.Equal(new ResidencyStep.Drain("old", "a"), Decide(young, old, Wanted("a", 5))[0]);
        Assert.IsType<ResidencyStep.Wait>(Assert.Single(Decide(young, old with { ResidentFor = TimeSpan.FromSeconds(4) }, Wanted("a", 5))));
        Assert.IsType<ResidencyStep.Wait>(Assert.Single(Decide(young, old with { LoadCost = TimeSpan.FromSeconds(4) }, Wanted("a", 5))));
    }

    [Fact]
    public void Draining_Idle_IsUnloaded_AndGoesOnWhenNobodyWaitsOrItTakesTooLong()
    {
        var draining = Loaded("v", 8) with { Phase = ResidencyPhase.Draining };
        Assert.Contains(new ResidencyStep.Unload("v", "a"), Decide(draining, Wanted("a", 8)));
        Assert.DoesNotContain(Decide(draining with { IsBusy = true }, Wanted("a", 8)), step => step.Model == "v");
        Assert.Equal([new ResidencyStep.Resume("v")], Decide(draining with { IsBusy = true }));
        Assert.Contains(new ResidencyStep.Resume("v"), Decide(draining with { IsBusy = true, DrainingFor = TimeSpan.FromSeconds(61) }, Wanted("a", 8)));
    }

    [Fact]
    public void Group_SwapsAnIdleRivalAndKeepsABusyOneForItsTurn()
    {
        var rival = Loaded("rival", 1) with { Group = "g", IsPinned = true };
        var wanted = Wanted("a", 1) with { Group = "g" };
        Assert.Contains(new ResidencyStep.Unload("rival", "a"), Decide(rival, wanted));
        Assert.Equal([new ResidencyStep.Wait("a", null)], Decide(rival with { IsBusy = true }, wanted));
        Assert.Contains(new ResidencyStep.Drain("rival", "a"), Decide(rival with { IsBusy = true, ResidentFor = TimeSpan.FromSeconds(5) }, wanted));
        Assert.Equal([new ResidencyStep.Wait("a", null)], Decide(rival with { Phase = ResidencyPhase.Loading }, wanted));
        Assert.Equal([new ResidencyStep.Load("b"), new ResidencyStep.Wait("a", null)], Decide(wanted, Wanted("b", 1, 9) with { Group = "g" }));
    }

    [Fact]
    public void RoomThatIsBeingMade_IsNotGivenToALaterOne()
    {
        var leaving = Loaded("v", 6) with { Phase = ResidencyPhase.Unloading };
        var steps = Decide(leaving, Wanted("first", 9, seconds: 10), Wanted("second", 3, seconds: 5));
        Assert.DoesNotContain(steps, step => step is ResidencyStep.Load);
        Assert.Contains(new ResidencyStep.Load("second"), Decide(leaving, Wanted("first", 6, seconds: 10), Wanted("second", 3, seconds: 5)));
    }

    [Fact]
    public void IdleTimeout_Over_UnloadsOnlyTheIdle()
    {
        var model = Loaded("a", 1) with { IdleTimeout = TimeSpan.FromSeconds(10), IdleFor = TimeSpan.FromSeconds(10) };
        Assert.Equal([new ResidencyStep.Unload("a", null)], Decide(model));
        Assert.Empty(Decide(model with { IdleFor = TimeSpan.FromSeconds(9) }));
        Assert.Empty(Decide(model with { IsBusy = true }));
        Assert.Empty(Decide(model with { Waiting = 1 }));
        Assert.Empty(Decide(model with { IdleTimeout = null }));
    }

    [Fact]
    public void Gpu_Short_EvictsWhatFreesTheGpu()
    {
        var limits = Limits with { Budget = new(100 * Gib, 10 * Gib) };
        var onGpu = Loaded("gpu", 1) with { Memory = new(Gib, 8 * Gib) };
        var wanted = Wanted("a", 1) with { Memory = new(Gib, 4 * Gib) };
        Assert.Contains(new ResidencyStep.Unload("gpu", "a"), ResidencyDecision.Decide([onGpu, wanted], limits));
        var refuse = Assert.IsType<ResidencyStep.Refuse>(ResidencyDecision.Decide([wanted with { Memory = new(0, 11 * Gib) }], limits).Single());
        Assert.Equal("it needs 0 MiB and 11 GiB on the GPU; of a budget of 100 GiB and 10 GiB on the GPU, 0 MiB are taken", refuse.Why);
    }

    [Fact]
    public void Gpus_EachHasItsOwnBooks()
    {
        var limits = Limits with { Budget = new(100 * Gib, 10 * Gib, 10 * Gib) };
        var first = Loaded("first", 1) with { Memory = new(Gib, 8 * Gib) };
        var second = Loaded("second", 1) with { Memory = new(Gib, 0, 8 * Gib), IdleFor = TimeSpan.FromSeconds(1) };
        var wanted = Wanted("a", 1) with { Memory = new(Gib, 0, 6 * Gib) };

        // Room on the other one is no help, however long that model is idle.
        Assert.Equal(new ResidencyStep.Unload("second", "a"), ResidencyDecision.Decide([first with { IdleFor = TimeSpan.FromHours(1) }, second, wanted], limits).First(step => step.Model != "a"));
        Assert.Equal([new ResidencyStep.Load("a")], ResidencyDecision.Decide([first, wanted], limits));
        var refuse = Assert.IsType<ResidencyStep.Refuse>(ResidencyDecision.Decide([wanted with { Memory = new(0, 6 * Gib, 12 * Gib) }], limits).Single());
        Assert.Equal("it needs 0 MiB and 6144 MiB on GPU 0 and 12 GiB on GPU 1; of a budget of 100 GiB and 10 GiB on GPU 0 and 10 GiB on GPU 1, 0 MiB are taken", refuse.Why);
    }

    [Fact]
    public void Wanted_SizeUnknown_IsRefused() =>
        Assert.Equal([new ResidencyStep.Refuse("a", "why")], Decide(Wanted("a", 1) with { SizeUnknown = "why" }));

    [Fact]
    public void Pressed_StartsNothingAndGivesBackWhatIsIdle()
    {
        var steps = ResidencyDecision.Decide(
            [Loaded("idle", 1) with { ResidentFor = TimeSpan.FromSeconds(5) }, Loaded("busy", 1) with { IsBusy = true }, Wanted("a", 1)], Limits with { IsPressed = true });
        Assert.Contains(new ResidencyStep.Unload("idle", null), steps);
        Assert.DoesNotContain(steps, step => step is ResidencyStep.Load);
        Assert.Contains(steps, step => step is ResidencyStep.Wait { Model: "a", Why: not null });
    }

    [Fact]
    public void Wanted_NoRoom_EvictsTheLowestPriorityFirstHoweverLongTheOthersAreIdle()
    {
        var low = Loaded("low", 4) with { KeepPriority = Priority.Low, IdleFor = TimeSpan.FromSeconds(6) };
        var normal = Loaded("normal", 4) with { IdleFor = TimeSpan.FromHours(6) };
        Assert.Equal(new ResidencyStep.Unload("low", "a"), Decide(normal, low, Wanted("a", 4))[0]);
        Assert.Equal(2, Decide(normal, low, Wanted("a", 8)).Count(step => step is ResidencyStep.Unload));
    }

    [Fact]
    public void Growth_OfItsLoad_TakesOnlyRoomThatNobodyWaitsFor()
    {
        var model = Scaled("m", replicas: 2, wanted: 5);
        Assert.Equal([new ResidencyStep.Grow("m", 5)], Decide(model));
        Assert.Equal([new ResidencyStep.Grow("m", 4)], Decide(model, Loaded("other", 6) with { IsBusy = true }));
        Assert.Empty(Decide(model, Loaded("idle", 8)));
        Assert.Empty(ResidencyDecision.Decide([model], Limits with { IsPressed = true }));

        // What waits for the busy one gets the room, however long that takes.
        Assert.DoesNotContain(Decide(model, Loaded("busy", 7) with { IsBusy = true }, Wanted("a", 3)), step => step is ResidencyStep.Grow);
    }

    [Fact]
    public void Growth_Ordered_IsAllOrNothing_EvictsIdleModels_AndIsRefusedWithTheNumbers()
    {
        var model = Scaled("m", replicas: 2, wanted: 5) with { IsGrowthOrdered = true };
        Assert.Equal([new ResidencyStep.Grow("m", 5)], Decide(model));
        Assert.Equal([new ResidencyStep.Unload("idle", "m")], Decide(model, Loaded("idle", 7)));
        Assert.Empty(Decide(model, Loaded("leaving", 7) with { Phase = ResidencyPhase.Unloading }));
        var refuse = Assert.IsType<ResidencyStep.RefuseGrowth>(Assert.Single(Decide(model, Loaded("busy", 7) with { IsBusy = true, ResidentFor = TimeSpan.FromHours(1) })));
        Assert.Equal("it needs 3072 MiB; of a budget of 10 GiB, 9216 MiB are taken", refuse.Why);
        Assert.IsType<ResidencyStep.RefuseGrowth>(Assert.Single(Decide(model with { WantedReplicas = 11 }, Loaded("idle", 1))));
    }

    [Fact]
    public void Wanted_NoRoom_TakesIdleModelsFirst_ThenSurplusReplicas_ThenTheTurnOfThoseThatWork()
    {
        var scaled = Scaled("m", replicas: 4, wanted: 4) with { IsBusy = true, IsPinned = true };
        Assert.Contains(new ResidencyStep.GiveBack("m", "a"), Decide(scaled, Wanted("a", 8)));
        Assert.DoesNotContain(Decide(scaled, Loaded("idle", 4), Wanted("a", 6)), step => step is ResidencyStep.GiveBack);
        Assert.Contains(new ResidencyStep.GiveBack("m", "a"), Decide(scaled, Loaded("idle", 2), Wanted("a", 7)));

        // The last one is not to be had: it is pinned.
        Assert.IsType<ResidencyStep.Refuse>(Assert.Single(Decide(scaled, Wanted("a", 10))));
        Assert.Equal([new ResidencyStep.GiveBack("m", null)], Decide(scaled with { WantedReplicas = 3 }));
    }

    [Fact]
    public void AnyHistory_KeepsTheBudgetTheGroupsAndTheBusyAndServesEverybody() => Gen.Select(Gen.Int[2, 6], Gen.Int[0, 1 << 30]).Sample(
        (count, seed) => new World(count, new Random(seed)).Run(), iter: 400);

    private static System.Collections.Immutable.ImmutableArray<ResidencyStep> Decide(params ResidentModel[] models) => ResidencyDecision.Decide([.. models], Limits);

    private static ResidentModel Wanted(string name, int gib, int seconds = 1) => new() { Name = name, Memory = new(gib * Gib, 0), WantedFor = TimeSpan.FromSeconds(seconds), Waiting = 1 };

    private static ResidentModel Scaled(string name, int replicas, int wanted) => new()
    {
        Name = name,
        Memory = new(replicas * Gib, 0),
        PerReplica = new(Gib, 0),
        Replicas = replicas,
        LeastReplicas = 1,
        WantedReplicas = wanted,
        Phase = ResidencyPhase.Loaded,
        IsBusy = true,
    };

    private static ResidentModel Loaded(string name, int gib) => new() { Name = name, Memory = new(gib * Gib, 0), Phase = ResidencyPhase.Loaded };

    /// <summary>Models whose requests come at random and whose loads and ends take time; one tick is 100 ms.</summary>
    private sealed class World(int count, Random random)
    {
        private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

        private readonly One[] _models = [.. Enumerable.Range(0, count).Select(i => new One($"m{i}", random.Next(1, 11) * Gib, random.Next(3) == 0 ? "g" : null, TimeSpan.FromMilliseconds(random.Next(1, 30) * 100)))];
        private int _tick;

        public void Run()
        {
            const int Busy = 1500;
            for (; _tick < Busy + 3000; _tick++)
            {
                if (_tick < Busy && random.Next(3) == 0)
                {
                    _models[random.Next(count)].Waiting.Enqueue(_tick);
                }

                foreach (var model in _models)
                {
                    model.Advance(_tick, random);
                }

                foreach (var step in ResidencyDecision.Decide([.. _models.Select(model => model.Describe(_tick))], Limits))
                {
                    Carry(step, _models.Single(model => model.Name == step.Model));
                }

                Assert.True(_models.Where(model => model.Phase != ResidencyPhase.Unloaded).Sum(model => model.Taken) <= Limits.Budget.Ram);
                Assert.True(_models.Count(model => model.Group is not null && model.Phase != ResidencyPhase.Unloaded) <= 1);
            }

            Assert.All(_models, model => Assert.Empty(model.Waiting));
            // Six that exclude each other, each with 3 s to load, 6 s to serve, some seconds to drain: nobody waits for two rounds.
            Assert.All(_models, model => Assert.InRange(model.LongestWait, 0, 1800));
        }

        private void Carry(ResidencyStep step, One model)
        {
            switch (step)
            {
                case ResidencyStep.Load:
                    Assert.Equal(ResidencyPhase.Unloaded, model.Phase);
                    model.Enter(ResidencyPhase.Loading, _tick);
                    break;
                case ResidencyStep.Unload:
                    Assert.Equal((0, true), (model.Running, model.Phase is ResidencyPhase.Draining || model.Waiting.Count == 0));
                    model.Enter(ResidencyPhase.Unloading, _tick);
                    break;
                case ResidencyStep.Drain:
                    model.Enter(ResidencyPhase.Draining, _tick);
                    break;
                case ResidencyStep.Resume:
                    model.Enter(ResidencyPhase.Loaded, _tick);
                    break;
                case ResidencyStep.Grow grow:
                    Assert.True(grow.Replicas > model.Replicas && model.Phase is ResidencyPhase.Loading or ResidencyPhase.Loaded);
                    model.Replicas = grow.Replicas;
                    break;
                case ResidencyStep.GiveBack when random.Next(5) == 0:
                    Assert.True(model.Replicas > 1);
                    model.Replicas--;
                    break;
                case ResidencyStep.RefuseGrowth:
                    Assert.Fail("nobody has ordered any");
                    break;
                case ResidencyStep.Refuse:
                    Assert.True(model.Bytes > Limits.Budget.Ram);
                    break;
            }
        }

        private sealed class One(string name, long bytes, string? group, TimeSpan loadTime)
        {
            private int _since;
            private int _lastUsed;
            private int _lastTick;
            private int _lastReplicas = 1;
            private int _ending;
            private int? _wanted;

            public string Name { get; } = name;

            public long Bytes { get; } = bytes;

            public string? Group { get; } = group;

            public ResidencyPhase Phase { get; private set; }

            /// <summary>As it is to have; those beyond are ending.</summary>
            public int Replicas { get; set; } = 1;

            public long Taken => (Replicas + _ending) * Bytes;

            public int Running { get; private set; }

            public Queue<int> Waiting { get; } = [];

            public int LongestWait { get; private set; }

            public void Enter(ResidencyPhase phase, int tick)
            {
                (Phase, _since) = (phase, tick);
                if (phase == ResidencyPhase.Unloaded)
                {
                    (Replicas, _ending, _lastReplicas) = (1, 0, 1);
                }
            }

            public void Advance(int tick, Random random)
            {
                _lastTick = tick;
                _ending = random.Next(4) == 0 ? 0 : _ending + Math.Max(0, _lastReplicas - Replicas);
                _lastReplicas = Replicas;
                _wanted = Phase == ResidencyPhase.Loaded ? Math.Clamp(Replicas + random.Next(-1, 3), 1, 3) : null;
                if (Phase == ResidencyPhase.Loading && (tick - _since) * Tick >= loadTime)
                {
                    Enter(ResidencyPhase.Loaded, tick);
                }
                else if (Phase == ResidencyPhase.Unloading && tick - _since >= 3)
                {
                    Enter(ResidencyPhase.Unloaded, tick);
                }

                for (var i = Running; i > 0; i--)
                {
                    if (random.Next(10) == 0)
                    {
                        Running--;
                        _lastUsed = tick;
                    }
                }

                while (Phase == ResidencyPhase.Loaded && Running < 4 && Waiting.TryDequeue(out var arrived))
                {
                    LongestWait = Math.Max(LongestWait, tick - arrived);
                    Running++;
                }
            }

            public ResidentModel Describe(int tick) => new()
            {
                Name = Name,
                Memory = new(Phase == ResidencyPhase.Unloaded ? Bytes : Taken, 0),
                PerReplica = new(Bytes, 0),
                Ending = new(_ending * Bytes, 0),
                Replicas = Replicas,
                WantedReplicas = _wanted,
                Group = Group,
                Phase = Phase,
                IsBusy = Running > 0,
                Waiting = Waiting.Count,
                WantedFor = Waiting.TryPeek(out var first) ? (tick - first) * Tick : null,
                IdleFor = Running > 0 || Waiting.Count > 0 ? TimeSpan.Zero : (tick - _lastUsed) * Tick,
                ResidentFor = (tick - _since) * Tick,
                DrainingFor = (_lastTick - _since) * Tick,
                LoadCost = loadTime,
            };
        }
    }
}
