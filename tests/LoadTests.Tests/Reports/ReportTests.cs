using System.Xml.Linq;
using LlmGateway.LoadTests.Reports;
using LlmGateway.TestKit;

namespace LlmGateway.LoadTests.Tests.Reports;

/// <summary>Reports change only on purpose: with UPDATE_GOLDEN=1 the tests write the new ones, for a look at the difference.</summary>
public sealed class ReportTests
{
    [Fact]
    public void Render_Markdown_IsTheGoldenOne() => AssertGolden("report.md", MarkdownReport.Render(SampleRun.Report()));

    [Fact]
    public void ToJson_Report_IsTheGoldenOne() => AssertGolden("report.json", ReportFiles.ToJson(SampleRun.Report()));

    [Fact]
    public void Render_Html_IsTheGoldenOne() => AssertGolden("report.html", HtmlReport.Render(SampleRun.Report()));

    [Fact]
    public void Render_Html_IsWellFormedAndLoadsNothing()
    {
        var html = HtmlReport.Render(SampleRun.Report());

        var page = XDocument.Parse(html.Replace("<!DOCTYPE html>", "", StringComparison.Ordinal));

        Assert.Equal(6, page.Descendants().Count(static element => element.Name.LocalName == "svg"));
        Assert.DoesNotContain(page.Descendants(), static element => element.Name.LocalName is "script" or "link" or "img" or "iframe");
        Assert.DoesNotContain(page.Descendants().Attributes(), static attribute => attribute.Name.LocalName is "src" or "href");
        Assert.DoesNotContain("url(", html, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", html, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 1, "0 0.2 0.4 0.6 0.8 1")]
    [InlineData(0, 157, "0 50 100 150 200")]
    [InlineData(0, 0, "0 2E-07")]
    public void LinearTicks_Range_HoldsItBetweenRoundMarks(double min, double max, string expected) =>
        Assert.Equal(expected, string.Join(' ', SvgPlot.LinearTicks(min, max)));

    [Theory]
    [InlineData(3, 40, "1 2 5 10 20 50 100")]
    [InlineData(0.5, 2000, "0.1 1 10 100 1000 10000")]
    [InlineData(10, 10, "10 20 50 100")]
    public void LogTicks_Range_HoldsItBetweenRoundMarks(double min, double max, string expected) =>
        Assert.Equal(expected, string.Join(' ', SvgPlot.LogTicks(min, max)));

    private static void AssertGolden(string name, string actual)
    {
        var path = Path.Combine(RepositoryPaths.Root, "tests", "LoadTests.Tests", "Reports", "Golden", name);
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllText(path, actual);
        }

        Assert.Equal(File.ReadAllText(path), actual);
    }
}
