using CsCheck;
using LlmGateway.Gateway.Scaling.Sizing;

namespace LlmGateway.Gateway.Tests.Scaling;

public sealed class ReplicaSizingTests
{
    private static readonly SizingBounds Bounds = new(1, 4, TimeSpan.FromSeconds(2), TimeSpan.FromMinutes(5));

    private static readonly ModelLoad Full = new(2, IsSettled: true, IsGivingBack: false, Slots: 8, Busy: 8, Waiting: 1, TimeSpan.FromSeconds(2));

    private static readonly ModelLoad Calm = Full with { Busy = 2, Waiting = 0, OldestAge = TimeSpan.Zero };

    [Theory]
    [InlineData(8, 1, 2.0, 3)]
    [InlineData(8, 5, 2.0, 4)]
    [InlineData(8, 500, 60, 4)]
    [InlineData(8, 1, 1.9, 2)] // not for long enough
    [InlineData(7, 1, 2.0, 2)] // a slot is free: more of them would not help
    public void Full_AndSomebodyWaitsForLong_GrowsByWhatWouldTakeThem(int busy, int waiting, double seconds, int wanted) =>
        Assert.Equal(wanted, ReplicaSizing.Decide(Full with { Busy = busy, Waiting = waiting, OldestAge = TimeSpan.FromSeconds(seconds) }, Bounds, null).Wanted);

    [Fact]
    public void Full_ButNotAllTakeWorkYet_WaitsForThem() => Assert.Equal(2, ReplicaSizing.Decide(Full with { IsSettled = false }, Bounds, null).Wanted);

    [Fact]
    public void Full_AtMostDoubles() => Assert.Equal(2, ReplicaSizing.Decide(Full with { Replicas = 1, Slots = 4, Busy = 4, Waiting = 100 }, Bounds, null).Wanted);

    [Theory]
    [InlineData(2, 0, 300, 1, true)]
    [InlineData(2, 0, 299, 2, true)]
    [InlineData(3, 0, 300, 2, false)] // more than half the slots of the one that would be left
    [InlineData(0, 1, 300, 2, false)]
    public void Calm_ForLong_GivesOneBack(int busy, int waiting, int calmSeconds, int wanted, bool isCalm) =>
        Assert.Equal((wanted, isCalm), ReplicaSizing.Decide(Calm with { Busy = busy, Waiting = waiting }, Bounds, TimeSpan.FromSeconds(calmSeconds)));

    [Fact]
    public void Calm_AtTheLeast_Stays() => Assert.Equal(1, ReplicaSizing.Decide(Calm with { Replicas = 1, Slots = 4, Busy = 0 }, Bounds, TimeSpan.FromHours(1)).Wanted);

    [Fact]
    public void GivingBack_GoesOnWhileItIsCalm_AndIsTakenBackWhenItIsNot()
    {
        var load = Calm with { IsGivingBack = true, IsSettled = false };
        Assert.Equal(1, ReplicaSizing.Decide(load, Bounds, null).Wanted);
        Assert.Equal(2, ReplicaSizing.Decide(load with { Busy = 3 }, Bounds, null).Wanted);
        Assert.Equal(2, ReplicaSizing.Decide(load with { Waiting = 1 }, Bounds, null).Wanted);
    }

    [Fact]
    public void OutOfBounds_ComesBackIntoThem()
    {
        Assert.Equal(4, ReplicaSizing.Decide(Full with { Replicas = 6 }, Bounds, null).Wanted);
        Assert.Equal(3, ReplicaSizing.Decide(Full, Bounds with { Least = 3 }, null).Wanted);
    }

    /// <summary>Whatever the load, a step down is never followed by a step up under the same load.</summary>
    [Fact]
    public void AnyLoad_StaysWithinItsBounds_AndDoesNotFlutter() =>
        Gen.Select(Gen.Int[1, 4], Gen.Int[1, 8], Gen.Int[0, 40]).Sample((replicas, slotsEach, work) =>
        {
            var busy = Math.Min(work, replicas * slotsEach);
            var load = new ModelLoad(replicas, true, false, replicas * slotsEach, busy, work - busy, TimeSpan.FromHours(work > busy ? 1 : 0));
            var (wanted, _) = ReplicaSizing.Decide(load, Bounds, TimeSpan.FromHours(1));
            Assert.InRange(wanted, Bounds.Least, Bounds.Most);
            if (wanted < replicas)
            {
                var less = new ModelLoad(wanted, true, false, wanted * slotsEach, Math.Min(work, wanted * slotsEach), Math.Max(0, work - (wanted * slotsEach)), TimeSpan.FromHours(1));
                Assert.True(ReplicaSizing.Decide(less, Bounds, null).Wanted <= wanted);
            }
        });
}
