using System.Xml.Linq;

namespace LlmGateway.Architecture.Tests.Sources;

public sealed class SourceTests
{
    private static readonly Dictionary<string, (int First, int Last)> EventIdRanges = new()
    {
        ["src/Probes/"] = (1000, 1999),
        ["src/ProcessManager/"] = (2000, 2999),
        ["src/Gateway/"] = (3000, 3999),
        ["src/Simulator/"] = (4000, 4999),
    };

    [Fact]
    public void Namespaces_EqualTheirFolder()
    {
        var projects = SourceFile.Below("", ".csproj").Select(project => (
            Folder: project.Path[..project.Path.LastIndexOf('/')],
            Namespace: XDocument.Parse(project.Text).Descendants("RootNamespace").FirstOrDefault()?.Value ?? $"LlmGateway.{Path.GetFileNameWithoutExtension(project.Path)}")).ToList();
        var files = SourceFile.Below("", ".cs").ToLookup(file => projects.First(project => file.Path.StartsWith($"{project.Folder}/", StringComparison.Ordinal)));

        Rule.Holds(files.SelectMany(project => project.SelectMany(file => SourceRules.Namespaces(file, project.Key.Folder, project.Key.Namespace))));
    }

    [Fact]
    public void TypeNames_AreWordsOfOurs() => Rule.Holds(SourceFile.Below("src", ".cs").SelectMany(SourceRules.TypeNames));

    [Theory]
    [InlineData("src")]
    [InlineData("tests")]
    [InlineData("load-tests")]
    [InlineData("eng")]
    public void Clocks_AreTimeProviders(string folder) => Rule.Holds(SourceFile.Below(folder, ".cs").SelectMany(SourceRules.Clocks));

    [Fact]
    public void Tests_NeverWaitForATimeToPass() => Rule.Holds(SourceFile.Below("tests", ".cs").SelectMany(SourceRules.Waits));

    [Fact]
    public void Traits_NameSuitesThatAreRun() => Rule.Holds(SourceFile.Below("tests", ".cs").SelectMany(SourceRules.Traits));

    [Fact]
    public void EventIds_AreUniqueAndInTheRangeOfTheirProject() => Rule.Holds(SourceRules.EventIds(SourceFile.Below("src", ".cs"), EventIdRanges));

    [Fact]
    public void Files_NameNoPathOfOneMachine() => Rule.Holds(
        SourceFile.Below("", ".cs", ".csproj", ".props", ".targets", ".sln", ".json", ".jsonc", ".sh", ".md", ".mjs", ".js", ".yml", ".yaml", ".html", ".css", "run")
            .SelectMany(SourceRules.DeveloperPaths));

    // Below: a rule that can't fail is none.
    [Theory]
    [InlineData("src/Gateway/Scheduling/Order/Queue.cs", "LlmGateway.Gateway.Scheduling.Order", true)]
    [InlineData("src/Gateway/Program.cs", "LlmGateway.Gateway", true)]
    [InlineData("src/Gateway/Scheduling/Queue.cs", "LlmGateway.Gateway", false)]
    [InlineData("src/Gateway/Scheduling/Queue.cs", "LlmGateway.Gateway.Order", false)]
    public void Namespaces_PlantedFile_IsJudged(string path, string @namespace, bool right) =>
        Assert.Equal(right, !SourceRules.Namespaces(new SourceFile(path, $"namespace {@namespace};"), "src/Gateway", "LlmGateway.Gateway").Any());

    [Theory]
    [InlineData("internal sealed class BackendManager;", false)]
    [InlineData("internal record struct StringHelper(int X);", false)]
    [InlineData("public interface IQueueService;", false)]
    [InlineData("enum SlotCluster { }", false)]
    [InlineData("class Outer { class TextUtils; }", false)]
    [InlineData("// class CommentManager\nclass ServiceTable { string s = \"class TextManager\"; }", true)]
    public void TypeNames_PlantedType_IsJudged(string text, bool right) => Assert.Equal(right, !SourceRules.TypeNames(Planted(text)).Any());

    [Theory]
    [InlineData("var now = DateTime.UtcNow;", false)]
    [InlineData("var now = System.DateTimeOffset.Now;", false)]
    [InlineData("Thread.Sleep(1);", false)]
    [InlineData("await Task.Delay(wait);", false)]
    [InlineData("await Task.Delay(wait, cancellationToken);", false)]
    [InlineData("await Task.Delay(wait, timeout.Token).ConfigureAwait(false);", false)]
    [InlineData("Func<int, Task> wait = Task.Delay;", false)]
    [InlineData("await Task.Delay(Timeout.Infinite, cancellationToken);", true)]
    [InlineData("await Task.Delay(wait, time, cancellationToken);", true)]
    [InlineData("await Task.Delay(wait, _time).ConfigureAwait(false);", true)]
    [InlineData("await Task.Delay(wait, TimeProvider.System);", true)]
    [InlineData("var now = time.GetUtcNow(); // not DateTime.UtcNow", true)]
    public void Clocks_PlantedStatement_IsJudged(string text, bool right) => Assert.Equal(right, !SourceRules.Clocks(Planted(text)).Any());

    [Theory]
    [InlineData("await Task.Delay(wait, time);", false)]
    [InlineData("Thread.Sleep(1);", false)]
    [InlineData("await Task.Delay(Timeout.Infinite, context.RequestAborted);", true)]
    [InlineData("await tick.WaitForNextTickAsync();", true)]
    public void Waits_PlantedStatement_IsJudged(string text, bool right) => Assert.Equal(right, !SourceRules.Waits(Planted(text)).Any());

    [Theory]
    [InlineData("[Fact, Trait(\"Suite\", \"Nightly\")] void Test() { }", false)]
    [InlineData("[assembly: Trait(\"Suite\", \"integration\")]", false)]
    [InlineData("[Fact, Trait(\"Suite\", \"Real\"), Trait(\"Issue\", \"7\")] void Test() { }", true)]
    public void Traits_PlantedTest_IsJudged(string text, bool right) => Assert.Equal(right, !SourceRules.Traits(Planted(text)).Any());

    [Theory]
    [InlineData("[LoggerMessage(1000, LogLevel.Information, \"\")] void A(); [LoggerMessage(EventId = 1001)] void B();", true)]
    [InlineData("[LoggerMessage(1000, LogLevel.Information, \"\")] void A(); [LoggerMessage(EventId = 1000)] void B();", false)]
    [InlineData("[LoggerMessage(2000, LogLevel.Information, \"\")] void A();", false)]
    [InlineData("[LoggerMessage(LogLevel.Information, \"\")] void A();", false)]
    public void EventIds_PlantedMessages_AreJudged(string members, bool right) =>
        Assert.Equal(right, !SourceRules.EventIds([new SourceFile("src/Probes/Log.cs", $"class Log {{ {members} }}")], EventIdRanges).Any());

    [Fact]
    public void EventIds_ProjectWithoutARange_IsNamed() =>
        Assert.Single(SourceRules.EventIds([new SourceFile("src/New/Log.cs", "class Log { [LoggerMessage(1)] void A(); }")], EventIdRanges));

    // Spelled in two parts: this file is scanned as well.
    [Theory]
    [InlineData("/ho", "me/jane/models", false)]
    [InlineData("\"/ro", "ot/llama\"", false)]
    [InlineData("C:\\Use", "rs\\jane", false)]
    [InlineData("../", "root/usr/bin", true)]
    [InlineData("https://example.org/ho", "me/", true)]
    [InlineData("/usr/", "bin/env", true)]
    public void DeveloperPaths_PlantedLine_IsJudged(string start, string end, bool right) =>
        Assert.Equal(right, !SourceRules.DeveloperPaths(Planted($"first line\n{start}{end}")).Any());

    private static SourceFile Planted(string text) => new("src/Gateway/Planted.cs", text);
}
