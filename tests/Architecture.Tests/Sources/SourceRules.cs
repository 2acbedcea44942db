using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace LlmGateway.Architecture.Tests.Sources;

/// <summary>Rules that a file can break by itself. Each yields one sentence for each violation.</summary>
internal static partial class SourceRules
{
    private static readonly string[] Suites = ["Integration", "Real", "Browser", "Long"];

    /// <summary>A namespace equals the folder: the project's own, then the folders below it.</summary>
    public static IEnumerable<string> Namespaces(SourceFile file, string projectFolder, string projectNamespace)
    {
        var folders = file.Path[(projectFolder.Length + 1)..].Split('/')[..^1];
        var expected = string.Join('.', [projectNamespace, .. folders]);
        return from found in file.Nodes<BaseNamespaceDeclarationSyntax>()
               where found.Node.Name.ToString() != expected
               select $"{found.Place}: namespace {found.Node.Name} should be {expected}";
    }

    /// <summary>No type is named by a word that says nothing.</summary>
    public static IEnumerable<string> TypeNames(SourceFile file) =>
        from found in file.Nodes<BaseTypeDeclarationSyntax>()
        let name = found.Node.Identifier.ValueText
        where EmptyWord().IsMatch(name)
        select $"{found.Place}: {name} ends in {EmptyWord().Match(name).Value}, which is not a word of ours";

    /// <summary>No clock but a <see cref="TimeProvider"/>: time must be something that a test decides.</summary>
    public static IEnumerable<string> Clocks(SourceFile file)
    {
        foreach (var (node, place) in file.Nodes<MemberAccessExpressionSyntax>())
        {
            var member = MemberName(node);
            if (member is "DateTime.Now" or "DateTime.UtcNow" or "DateTime.Today" or "DateTimeOffset.Now" or "DateTimeOffset.UtcNow" or "Thread.Sleep")
            {
                yield return $"{place}: {member}; take a TimeProvider";
            }
            else if (member is "Task.Delay" && !WaitsForever(node) && !Arguments(node).Skip(1).Any(IsClock))
            {
                yield return $"{place}: Task.Delay without a TimeProvider";
            }
        }
    }

    /// <summary>Tests wait for what happens, never for a time to pass.</summary>
    public static IEnumerable<string> Waits(SourceFile file) =>
        from found in file.Nodes<MemberAccessExpressionSyntax>()
        let member = MemberName(found.Node)
        where member is "Thread.Sleep" or "Task.Delay" && !WaitsForever(found.Node)
        select $"{found.Place}: {member}; wait for the event itself";

    /// <summary>Suites are those that test.sh runs: a test of another one would never be run.</summary>
    public static IEnumerable<string> Traits(SourceFile file) =>
        from found in file.Nodes<AttributeSyntax>()
        where LastName(found.Node.Name) is "Trait" or "TraitAttribute"
        let arguments = found.Node.ArgumentList?.Arguments.Select(argument => argument.Expression.ToString().Trim('"')).ToArray()
        where arguments is ["Suite", var suite] && !Suites.Contains(suite)
        select $"{found.Place}: test.sh runs no suite named {arguments[1]}";

    /// <summary>Ids of log messages are numbers, each used once, from the range of their project.</summary>
    public static IEnumerable<string> EventIds(IEnumerable<SourceFile> files, IReadOnlyDictionary<string, (int First, int Last)> ranges)
    {
        var places = new Dictionary<int, string>();
        foreach (var (file, node, place) in files.SelectMany(file => file.Nodes<AttributeSyntax>().Select(found => (file, found.Node, found.Place))))
        {
            if (LastName(node.Name) is not ("LoggerMessage" or "LoggerMessageAttribute"))
            {
                continue;
            }

            var arguments = node.ArgumentList?.Arguments ?? [];
            var text = (arguments.FirstOrDefault(argument => argument.NameEquals?.Name.ToString() == "EventId" || argument.NameColon?.Name.ToString() == "eventId")
                ?? arguments.FirstOrDefault(argument => argument is { NameEquals: null, NameColon: null }))?.Expression.ToString();
            var (_, (first, last)) = ranges.FirstOrDefault(range => file.Path.StartsWith(range.Key, StringComparison.Ordinal));
            if (!int.TryParse(text, out var id))
            {
                yield return $"{place}: a log message needs a literal event id";
            }
            else if (id < first || id > last || last == 0)
            {
                yield return $"{place}: event id {id} is outside its project's range, {first} to {last}";
            }
            else if (!places.TryAdd(id, place))
            {
                yield return $"{place}: event id {id} is taken by {places[id]}";
            }
        }
    }

    /// <summary>No path of somebody's own machine.</summary>
    public static IEnumerable<string> DeveloperPaths(SourceFile file) =>
        from line in file.Text.Split('\n').Index()
        from Match match in DeveloperPath().Matches(line.Item)
        select $"{file.Path}:{line.Index + 1}: {match.Value.Trim()} is a path of one machine";

    private static string MemberName(MemberAccessExpressionSyntax node) => $"{LastName(node.Expression)}.{node.Name.Identifier.ValueText}";

    private static SeparatedSyntaxList<ArgumentSyntax> Arguments(MemberAccessExpressionSyntax method) =>
        method.Parent is InvocationExpressionSyntax call ? call.ArgumentList.Arguments : default;

    // Until it is cancelled: that is waiting for an event.
    private static bool WaitsForever(MemberAccessExpressionSyntax delay) =>
        Arguments(delay).FirstOrDefault()?.Expression.ToString() is "Timeout.Infinite" or "Timeout.InfiniteTimeSpan" or "-1";

    private static bool IsClock(ArgumentSyntax argument) => ClockName().IsMatch(LastName(argument.Expression)) || argument.Expression.ToString().Contains(nameof(TimeProvider), StringComparison.Ordinal);

    // The last word of a dotted expression.
    private static string LastName(SyntaxNode expression) => expression.ToString().Split('.')[^1].Trim();

    [GeneratedRegex("(Manager|Helpers?|Util(s|ity|ities)?|Service|Processor|Cluster)$")]
    private static partial Regex EmptyWord();

    [GeneratedRegex("^_?(time|clock|timeProvider)$", RegexOptions.IgnoreCase)]
    private static partial Regex ClockName();

    [GeneratedRegex(@"(?<![\w.}])/(home|Users|root|work|workspaces?)/[\w.-]+|\b[A-Za-z]:\\+Users\\+\w+")]
    private static partial Regex DeveloperPath();
}
