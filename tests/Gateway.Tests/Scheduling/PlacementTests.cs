using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Placement;
using LlmGateway.Gateway.Tests.Fakes;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class PlacementTests
{
    [Fact]
    public void Pick_LeastInUseByShare_Wins()
    {
        var (small, large) = (Slots(0, 2, busy: 1), Slots(1, 8, busy: 3));
        Assert.Same(large, LeastBusy.Pick([small, large], 1, 0));
        Assert.Same(large, LeastBusy.Pick([small, large], 1, 1));
        Assert.Same(large, LeastBusy.Pick([small, large], 2, 0));
    }

    [Fact]
    public void Pick_RequestThatFansOut_PrefersWhereItHasAllItsSlots()
    {
        var (small, large) = (Slots(0, 3), Slots(1, 8, busy: 4));
        Assert.Same(large, LeastBusy.Pick([small, large], 4, 0));
        Assert.Same(small, LeastBusy.Pick([small, Slots(1, 8, busy: 5)], 4, 0));
        Assert.Same(small, LeastBusy.Pick([small, large], 1, 0));
    }

    [Fact]
    public void Pick_NoneFits_IsNull()
    {
        Assert.Null(LeastBusy.Pick([], 1, 0));
        Assert.Null(LeastBusy.Pick([Slots(0, 2, busy: 1, quarantined: 1), Slots(1, 0)], 1, 0));
        Assert.Null(LeastBusy.Pick([Slots(0, 4, busy: 1)], 4, 0));
        Assert.Null(LeastBusy.Pick([Slots(0, 4, capacity: 0)], 1, 0));
    }

    [Fact]
    public void Pick_Equals_TakeTurnsAtAnyRotation()
    {
        List<BackendSlots> equals = [Slots(0, 2), Slots(1, 2), Slots(2, 2)];
        foreach (var rotation in new[] { 0, 1000, int.MaxValue - 1 })
        {
            Assert.NotSame(LeastBusy.Pick(equals, 1, rotation), LeastBusy.Pick(equals, 1, rotation + 1));
        }

        Assert.NotNull(LeastBusy.Pick(equals, 1, int.MaxValue));
    }

    private static BackendSlots Slots(int index, int total, int busy = 0, int quarantined = 0, int? capacity = null) =>
        new(Servers.Backend(index)) { Total = total, Capacity = capacity ?? total, Busy = busy, Quarantined = quarantined };
}
