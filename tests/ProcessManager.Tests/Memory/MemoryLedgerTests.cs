using System.Collections.Immutable;
using CsCheck;
using LlmGateway.ProcessManager.Memory;

namespace LlmGateway.ProcessManager.Tests.Memory;

public sealed class MemoryLedgerTests
{
    private static readonly MemoryLedger Ten = MemoryLedger.Empty.WithBudget(MemoryLedger.Ram, 10).WithBudget("0", 4);

    [Fact]
    public void TryReserve_Fits_IsTakenAndGivenBack()
    {
        Assert.True(Ten.TryReserve("a", On(ram: 6, gpu: 4), out var one));
        Assert.Equal((4, 0), (one.Free(MemoryLedger.Ram), one.Free("0")));
        Assert.Equal(10, Ten.Free(MemoryLedger.Ram)); // a value

        var none = one.Release("a").Release("nobody");
        Assert.Equal((10, 4), (none.Free(MemoryLedger.Ram), none.Free("0")));
    }

    [Fact]
    public void TryReserve_OneDeviceShort_TakesNothing()
    {
        Assert.False(Ten.TryReserve("a", On(ram: 1, gpu: 7), out var next));
        Assert.Same(Ten, next);
        Assert.Equal([new("0", 3)], Ten.Shortage("a", On(ram: 1, gpu: 7)));
    }

    [Fact]
    public void TryReserve_Again_ReplacesWhatTheHolderHas()
    {
        Assert.True(Ten.TryReserve("a", On(ram: 8), out var next));
        Assert.True(next.TryReserve("a", On(ram: 10), out next));
        Assert.Equal(10, next.Reserved(MemoryLedger.Ram));
    }

    [Fact]
    public void TryReserve_UnknownDevice_HasNothingToGive() => Assert.Equal([new("9", 1)], Ten.Shortage("a", new Dictionary<string, long> { ["9"] = 1 }));

    [Fact]
    public void WithBudget_BelowWhatIsReserved_OnlyShrinkingFits()
    {
        Assert.True(Ten.TryReserve("a", On(ram: 8), out var next));
        next = next.WithBudget(MemoryLedger.Ram, 5);

        Assert.Equal(-3, next.Free(MemoryLedger.Ram));
        Assert.False(next.TryReserve("b", On(ram: 1), out _));
        Assert.True(next.TryReserve("a", On(ram: 7), out next));
        Assert.Equal(-2, next.Free(MemoryLedger.Ram));
    }

    [Fact]
    public void TryReserve_NegativeSize_IsAMistake() => Assert.Throws<ArgumentOutOfRangeException>(() => Ten.TryReserve("a", On(ram: -1), out _));

    [Fact]
    public void AnyHistory_NeverGivesMoreThanThereIs() =>
        Gen.Select(Gen.Int[0, 3], Gen.Long[0, 8], Gen.Long[0, 4], Gen.Bool).Array[1, 40].Sample(steps =>
        {
            var (ledger, expected) = (Ten, new Dictionary<string, (long Ram, long Gpu)>());
            foreach (var (who, ram, gpu, release) in steps)
            {
                var holder = $"m/{who}";
                if (release)
                {
                    ledger = ledger.Release(holder);
                    expected.Remove(holder);
                }
                else if (ledger.TryReserve(holder, On(ram, gpu), out ledger))
                {
                    expected[holder] = (ram, gpu);
                }

                Assert.Equal(expected.Values.Sum(one => one.Ram), ledger.Reserved(MemoryLedger.Ram));
                Assert.Equal(expected.Values.Sum(one => one.Gpu), ledger.Reserved("0"));
                Assert.InRange(ledger.Free(MemoryLedger.Ram), 0, 10);
                Assert.InRange(ledger.Free("0"), 0, 4);
            }
        });

    private static ImmutableDictionary<string, long> On(long ram, long gpu = 0) =>
        new Dictionary<string, long> { [MemoryLedger.Ram] = ram, ["0"] = gpu }.ToImmutableDictionary();
}
