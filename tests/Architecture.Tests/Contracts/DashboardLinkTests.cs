using System.Text.RegularExpressions;
using LlmGateway.Architecture.Tests.Sources;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>R89: the page works below any path that a proxy in front gives it.</summary>
public sealed partial class DashboardLinkTests
{
    [Fact]
    public void Links_OfThePages_AreRelative()
    {
        var files = SourceFile.Below("src/Gateway/Operations", ".html", ".js", "ProfilerApi.cs", "LoginPage.cs").ToList();
        Assert.Contains(files, file => RelativeLink().IsMatch(file.Text)); // the rule sees links
        Rule.Holds(files.SelectMany(file => AbsoluteLink().Matches(file.Text).Select(match => $"{file.Path}: {match.Value} leaves the path that the page is below")));
    }

    [GeneratedRegex("""(?:href=|src=|action=|fetch\(|EventSource\()["'`]/[^"'`]*""")]
    private static partial Regex AbsoluteLink();

    [GeneratedRegex("""(?:href=|src=|action=|fetch\(|EventSource\()["'`][a-z]""")]
    private static partial Regex RelativeLink();
}
