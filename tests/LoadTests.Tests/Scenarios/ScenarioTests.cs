using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Tests.Scenarios;

public sealed class ScenarioTests
{
    [Fact]
    public void All_Scenarios_HaveNamesOfTheirOwnAndThresholdsThatCanBeRead()
    {
        Assert.Equal(ScenarioCatalogue.All.Length, ScenarioCatalogue.All.DistinctBy(static scenario => scenario.Name).Count());
        foreach (var scenario in ScenarioCatalogue.All)
        {
            Assert.Equal(scenario.Stages.Length, scenario.Stages.DistinctBy(static stage => stage.Name).Count());
            Assert.All(scenario.Thresholds, pair => Threshold.Parse(ThresholdKind.All.Single(kind => kind.Name == pair.Name), pair.Limit));
        }
    }

    [Fact]
    public void Lasting_AnotherTime_KeepsTheStagesShares()
    {
        var scenario = ScenarioCatalogue.All.Single(static scenario => scenario.Name == "saturation");

        var shorter = scenario.Lasting(scenario.Duration / 5);

        Assert.Equal(scenario.Duration / 5, shorter.Duration);
        Assert.Equal(scenario.Stages.Select(static stage => stage.Duration / 5), shorter.Stages.Select(static stage => stage.Duration));
    }

    [Fact]
    public void Lasting_AnotherTime_MovesDisturbancesAlong()
    {
        var crash = ScenarioCatalogue.All.Single(static scenario => scenario.Name == "crash");

        Assert.Equal(crash.Disturbances.Select(static one => one.At * 2), crash.Lasting(crash.Duration * 2).Disturbances.Select(static one => one.At));
    }

    [Fact]
    public void All_Disturbances_ComeInOrderAndWithinTheRun() =>
        Assert.All(ScenarioCatalogue.All, static scenario =>
        {
            Assert.Equal(scenario.Disturbances.OrderBy(static one => one.At), scenario.Disturbances);
            Assert.All(scenario.Disturbances, one => Assert.InRange(one.At, TimeSpan.Zero, scenario.Duration));
        });

    [Fact]
    public void Next_SameSeedAndNumber_IsTheSameRequest()
    {
        var scenario = ScenarioCatalogue.All.Single(static scenario => scenario.Name == "steady");

        Assert.Equal(Content(scenario, 5), Content(scenario, 5));
        Assert.NotEqual(Content(scenario, 5), Content(scenario, 6));
        Assert.NotEqual(Content(scenario, 5), Content(scenario with { Seed = 2 }, 5));
    }

    [Fact]
    public void Next_Mix_KeepsItsShares()
    {
        var mix = new RequestMix { StreamShare = 0.25, LeaverShare = 0.5, Keys = [new KeyShare("a", 3), new KeyShare("b", 1)], MaxTokens = Distribution.Uniform(10, 20) };
        var requests = Enumerable.Range(0, 4000).Select(i => new Visit(new Scenario("s", "", [], mix), i).Next()).ToList();

        Assert.InRange(requests.Count(static request => request.Stream), 900, 1100);
        Assert.InRange(requests.Count(static request => request.LeaveAfter is not null), 1880, 2120);
        Assert.InRange(requests.Count(static request => request.Key == 0), 2880, 3120);
        Assert.InRange(requests.Average(static request => request.MaxTokens), 14.7, 15.3);
        Assert.All(requests, static request => Assert.InRange(request.MaxTokens, 10, 20));
    }

    [Theory]
    [InlineData("64", "64")]
    [InlineData("16..256", "16..256")]
    [InlineData("128~0.8", "128~0.8")]
    [InlineData("9..3", null)]
    [InlineData("-1", null)]
    [InlineData("x", null)]
    [InlineData("1..", null)]
    public void TryParse_Distribution_ReadsItsOwnText(string text, string? expected) =>
        Assert.Equal(expected, Distribution.TryParse(text, out var value) ? value.ToString() : null);

    private static string Content(Scenario scenario, long number) => new Visit(scenario, number).Next().Messages[^1].Content;
}
