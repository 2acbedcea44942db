using System.Text.RegularExpressions;
using LlmGateway.Architecture.Tests.Sources;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>What the documents name as a proof is a test that exists.</summary>
public sealed partial class DocumentedTests
{
    [Theory]
    [InlineData("docs/threat-model.md")]
    [InlineData("docs/requirements.md")]
    [InlineData("docs/faults.md")]
    public void Tests_NamedInADocument_Exist(string document)
    {
        var sources = string.Join('\n', SourceFile.Below("tests", ".cs").Concat(SourceFile.Below("load-tests", ".cs")).Select(file => file.Text));
        var text = SourceFile.Below("docs", ".md").Single(file => file.Path == document).Text;
        Rule.Holds(TestName().Matches(text)
            .Where(match => !sources.Contains($"class {match.Groups[1].Value}", StringComparison.Ordinal)
                || (match.Groups[2].Success && !sources.Contains($" {match.Groups[2].Value}(", StringComparison.Ordinal)))
            .Select(match => $"{document} names {match.Value}, and there is no such test"));
        Assert.NotEmpty(TestName().Matches(text));
    }

    [Theory]
    [InlineData("docs/requirements.md")]
    [InlineData("docs/faults.md")]
    public void Rows_OfADocument_HaveANumberOfTheirOwn(string document) =>
        Rule.Holds(FirstCell().Matches(SourceFile.Below("docs", ".md").Single(file => file.Path == document).Text)
            .SelectMany(match => match.Groups[1].Value.Split(','), (_, number) => number.Trim())
            .GroupBy(number => number)
            .Where(rows => rows.Count() > 1)
            .Select(rows => $"{document} has {rows.Count()} rows for {rows.Key}"));

    [GeneratedRegex(@"^\| (R?[0-9][^|]*) \|", RegexOptions.Multiline)]
    private static partial Regex FirstCell();

    [GeneratedRegex(@"`([A-Z][A-Za-z0-9]*Tests)(?:\.([A-Za-z0-9_]+))?`")]
    private static partial Regex TestName();
}
