namespace LlmGateway.Architecture.Tests;

/// <summary>Fails with every violation, one a line and whole; the assertions of the framework shorten them.</summary>
internal static class Rule
{
    public static void Holds(IEnumerable<string> violations)
    {
        var list = string.Join(Environment.NewLine, violations);
        Assert.True(list.Length == 0, list);
    }
}
