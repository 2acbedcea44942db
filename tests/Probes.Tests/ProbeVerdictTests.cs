using CsCheck;

namespace LlmGateway.Probes.Tests;

public sealed class ProbeVerdictTests
{
    /// <summary>p pass, f fail, l loading; H healthy, U unhealthy, ? unknown.</summary>
    [Theory]
    [InlineData(1, 3, "p", "H")]
    [InlineData(1, 3, "ff", "??")]
    [InlineData(1, 3, "fff", "??U")]
    [InlineData(1, 3, "pffpfff", "HHHHHHU")]
    [InlineData(2, 3, "fffpp", "??UUH")]
    [InlineData(2, 1, "ppfpfpp", "?HUUUUH")]
    [InlineData(1, 2, "pllp", "HHUH")]
    public void Add_ResultsInARow_TurnAtTheThresholds(int success, int failure, string results, string expected)
    {
        var verdict = default(ProbeVerdict);
        var seen = string.Concat(results.Select(result =>
        {
            verdict = verdict.Add(Result(result), success, failure);
            return verdict.Health switch { ProbeHealth.Healthy => 'H', ProbeHealth.Unhealthy => 'U', _ => '?' };
        }));
        Assert.Equal(expected, seen);
    }

    [Fact]
    public void Add_AnyResults_AgreesWithLookingAtTheWholeHistory() =>
        Gen.Select(Gen.Int[1, 4], Gen.Int[1, 4], Gen.Bool.Array[1, 40]).Sample((success, failure, passes) =>
        {
            var verdict = default(ProbeVerdict);
            var expected = ProbeHealth.Unknown;
            for (var i = 0; i < passes.Length; i++)
            {
                verdict = verdict.Add(Result(passes[i] ? 'p' : 'f'), success, failure);
                var run = passes[..(i + 1)].Reverse().TakeWhile(pass => pass == passes[i]).Count();
                expected = passes[i] && run >= success ? ProbeHealth.Healthy : !passes[i] && run >= failure ? ProbeHealth.Unhealthy : expected;
                Assert.Equal(expected, verdict.Health);
            }
        });

    private static ProbeResult Result(char result) => result switch
    {
        'p' => ProbeResult.Pass(TimeSpan.Zero),
        'l' => new(ProbeOutcome.Loading, ProbeReason.Status, 503, TimeSpan.Zero),
        _ => ProbeResult.Fail(ProbeReason.Refused, TimeSpan.Zero),
    };
}
