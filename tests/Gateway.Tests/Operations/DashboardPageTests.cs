using System.Text.RegularExpressions;
using LlmGateway.Gateway.Operations.Dashboard;

namespace LlmGateway.Gateway.Tests.Operations;

/// <summary>The page's modules become one: what a linker would check is checked here.</summary>
public sealed partial class DashboardPageTests
{
    private static readonly Dictionary<string, string> Files = typeof(DashboardPage).Assembly.GetManifestResourceNames()
        .Where(name => name.StartsWith("dashboard/", StringComparison.Ordinal) && name.EndsWith(".js", StringComparison.Ordinal))
        .ToDictionary(name => name["dashboard/".Length..], Read);

    [Fact]
    public void Modules_AreAllThereAreAndEachComesAfterWhatItImports()
    {
        Assert.Equal(Files.Keys.Order(), DashboardPage.Modules.Order());
        foreach (var (name, text) in Files)
        {
            foreach (Match import in Import().Matches(text))
            {
                var from = import.Groups["from"].Value;
                Assert.True(Array.IndexOf(DashboardPage.Modules, from) is >= 0 and var at && at < Array.IndexOf(DashboardPage.Modules, name), $"{name} imports {from}, which comes later");
                foreach (var what in import.Groups["what"].Value.Split(',', StringSplitOptions.TrimEntries))
                {
                    Assert.Matches($@"(?m)^export (async )?(const|let|class|function) {what}\b", Files[from]);
                }
            }
        }
    }

    [Fact]
    public void Modules_TopLevelNames_AreTakenOnce() =>
        Assert.Empty(Files.Values.SelectMany(text => TopLevel().Matches(text)).Select(match => match.Groups["name"].Value).GroupBy(name => name).Where(group => group.Count() > 1).Select(group => group.Key));

    [Fact]
    public void Link_TakesTheWordsForModulesAwayAndNothingElse()
    {
        var linked = PageText.Link(["export const a = 1;\nconst text = 'export it';\n", "import { a } from './a.js';\nexport async function b() {}\n"]);
        Assert.Equal("const a = 1;\nconst text = 'export it';\nasync function b() {}\n", linked);
        Assert.DoesNotMatch(@"(?m)^(import|export)\b", PageText.Link(DashboardPage.Modules.Select(name => Files[name])));
    }

    private static string Read(string name)
    {
        using var reader = new StreamReader(typeof(DashboardPage).Assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"^import \{ (?<what>[^}]*) \} from '\./(?<from>[^']*)';$", RegexOptions.Multiline)]
    private static partial Regex Import();

    [GeneratedRegex(@"^(export )?(async )?(const|let|class|function) (\{|\[)?\s*(?<name>\w+)", RegexOptions.Multiline)]
    private static partial Regex TopLevel();
}
