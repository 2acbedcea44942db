using System.Collections;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class ConfigurationOverridesTests
{
    [Theory]
    [InlineData("--Models:qwen3:8b:Slots=7", "qwen3:8b")]
    [InlineData("--Models:org/repo:Q4_K_M:Slots=7", "org/repo:Q4_K_M")]
    [InlineData("--models:v1.5:slots=7", "v1.5")]
    [InlineData("--Models:a@b:Slots=7", "a@b")]
    [InlineData("LLMGATEWAY__Models__qwen3:8b__Slots", "qwen3:8b")]
    [InlineData("llmgateway__models__org/repo:Q4_K_M__slots", "org/repo:Q4_K_M")]
    [InlineData("LLMGATEWAY__Models__my__model__Slots", "my__model")]
    public void Parse_OverrideOfModelWhoseNameHoldsSeparators_Reaches(string text, string model)
    {
        var loaded = Load(
            """{"Models":{"qwen3:8b":{},"qwen3":{},"org/repo:Q4_K_M":{},"org/repo":{},"v1.5":{},"a@b":{},"my__model":{}}}""",
            text.StartsWith("--", StringComparison.Ordinal) ? [] : new Hashtable { [text] = "7" },
            text);
        Assert.Empty(loaded.Errors);
        Assert.Equal([model], loaded.Options.Models.Where(pair => pair.Value.Slots == 7).Select(pair => pair.Key));
    }

    [Fact]
    public void Parse_NamesThatDifferInCaseOnly_TheExactOneIsMeant()
    {
        var loaded = Load("""{"Models":{"A":{},"a":{}}}""", [], "--Models:a:Slots=7");
        Assert.Equal((4, 7), (loaded.Options.Models["A"].Slots, loaded.Options.Models["a"].Slots));
    }

    [Fact]
    public void Parse_CommandLineAndEnvironment_CommandLineWinsOverEnvironmentOverFile()
    {
        var environment = new Hashtable { ["LLMGATEWAY__Queue__Timeout"] = "2s", ["LLMGATEWAY__Queue__HoldWhileLoading"] = "3s", ["OTHER__Queue__MaxDepth"] = "1" };
        var queue = Load("""{"Queue":{"Timeout":"1s","HoldWhileLoading":"1s","MaxDepth":9}}""", environment, "--Queue:Timeout=4s").Options.Queue;
        Assert.Equal((TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(3), 9), (queue.Timeout, queue.HoldWhileLoading, queue.MaxDepth));
    }

    [Fact]
    public void Parse_SectionThatTheFileLacks_IsMade()
    {
        var loaded = Load("{}", [], "--Models:new:Kind=simulator", "--Models:new:Slots=2", "--Gateway:Listen=http://127.0.0.1:0", "--Gateway:Insecure=TRUE");
        Assert.Empty(loaded.Errors);
        Assert.Equal((ModelKind.Simulator, 2), (loaded.Options.Models["new"].Kind, loaded.Options.Models["new"].Slots));
        Assert.Equal(["http://127.0.0.1:0"], loaded.Options.Gateway.Listen);
        Assert.True(loaded.Options.Gateway.Insecure);
    }

    [Fact]
    public void Parse_ScalarWithinAList_IsReachedByItsIndex()
    {
        var loaded = Load(
            """{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"http://x"},{"Url":"http://y"}],"Aliases":["b","c"]}}}""",
            [],
            "--Models:a:Remotes:1:Slots=7", "--Models:a:Aliases:0=d");
        Assert.Empty(loaded.Errors);
        Assert.Equal([4, 7], loaded.Options.Models["a"].Remotes.Select(remote => remote.Slots));
        Assert.Equal(["d", "c"], loaded.Options.Models["a"].Aliases);
    }

    [Theory]
    [InlineData("--Models:a:Remotes:2:Slots=7")]
    [InlineData("--Models:a:Remotes:x:Slots=7")]
    [InlineData("--Models:a:Remotes:-1=7")]
    public void Parse_IndexThatTheListLacks_IsAnError(string argument) =>
        Assert.NotEmpty(Load("""{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"http://x"}]}}}""", [], argument).Errors);

    [Theory]
    [InlineData("--Queue:Timeout=soon", "Queue:Timeout")]
    [InlineData("--Queue:Timout=1s", "Queue:Timout")]
    [InlineData("--Queu:Timeout=1s", "Queu")]
    [InlineData("--Models:a=1", "Models:a")]
    [InlineData("--Queue:=1", "Queue:")]
    public void Parse_WrongOverride_IsReportedUnderItsPath(string argument, string path) =>
        Assert.Equal(path, Assert.Single(Load("{}", [], argument).Errors).Path);

    [Theory]
    [InlineData("--hf=org/repo:Q4")]
    [InlineData("--model=C:/x.gguf")]
    [InlineData("--config=a.json")]
    [InlineData("Queue:Timeout=1s")]
    [InlineData("--Queue:Timeout")]
    [InlineData("--=:")]
    [InlineData("")]
    public void TryParseArgument_SomethingElse_IsNone(string argument) => Assert.False(ConfigurationOverrides.TryParseArgument(argument, out _, out _));

    [Fact]
    public void TryParseArgument_ValueWithSeparators_IsKeptWhole()
    {
        Assert.True(ConfigurationOverrides.TryParseArgument("--Gateway:StateDirectory=/a=b:c", out var path, out var value));
        Assert.Equal(["Gateway", "StateDirectory"], path);
        Assert.Equal("/a=b:c", value);
    }

    private static LoadedConfiguration Load(string json, Hashtable environment, params string[] arguments) =>
        ConfigurationFile.Parse("gateway.json", json, ConfigurationOverrides.Collect(environment, arguments));
}
