using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Tests.Reports;

namespace LlmGateway.LoadTests.Tests.Measuring;

public sealed class ThresholdTests
{
    [Theory]
    [InlineData("max-p50-ttft", "400ms", true)]
    [InlineData("max-p99-ttft", "9ms", false)]
    [InlineData("max-error-rate", "0", false)]
    [InlineData("max-error-rate", "0.5", true)]
    [InlineData("min-goodput", "busy=1", true)]
    [InlineData("min-goodput", "busy=1000", false)]
    [InlineData("max-p99-refusal", "calm=1ms", true)]
    public void Judge_MeasuredRun_HoldsOrNamesWhatFailed(string name, string text, bool holds)
    {
        var result = Threshold.Parse(Kind(name), text).Judge(SampleRun.Report());

        Assert.Equal(holds, result.Passed);
        Assert.Contains(name, result.ToString(), StringComparison.Ordinal);
        Assert.Contains(holds ? "holds" : "FAILED", result.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Holds_NothingMeasured_PassesOnlyAnUpperLimit()
    {
        Assert.True(Kind("max-p99-ttft").Holds(null, 1));
        Assert.False(Kind("min-goodput").Holds(null, 1));
    }

    [Theory]
    [InlineData("max-p99-ttft", "500")]
    [InlineData("max-p99-ttft", "busy=soon")]
    [InlineData("max-error-rate", "none")]
    public void Parse_NoLimit_SaysWhichOptionIsWrong(string name, string text) =>
        Assert.Contains("--" + name, Assert.Throws<FormatException>(() => Threshold.Parse(Kind(name), text)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("smoke", "--max-p99-ttft", "500")]
    [InlineData("smoke", "--min-goodput", "nowhere=3")]
    [InlineData("smoke", "--rate", "0")]
    [InlineData("smoke", "--url", "here")]
    [InlineData("nothing")]
    [InlineData("smoke", "--", "--Queue:Timeout=1s")]
    public async Task RunAsync_BadUsage_Is2(params string[] args) => Assert.Equal(CommandLine.Usage, await new CommandLine().RunAsync(args));

    [Fact]
    public async Task RunAsync_NobodyListens_Is1() =>
        Assert.Equal(CommandLine.Failed, await new CommandLine().RunAsync(["smoke", "--url", "http://127.0.0.1:1"]));

    private static ThresholdKind Kind(string name) => ThresholdKind.All.Single(kind => kind.Name == name);
}
