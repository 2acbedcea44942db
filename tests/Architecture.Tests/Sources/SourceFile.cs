using LlmGateway.TestKit;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace LlmGateway.Architecture.Tests.Sources;

/// <summary>A file of the repository: its path from the root, with slashes, and its text.</summary>
internal sealed record SourceFile(string Path, string Text)
{
    // What git ignores: build outputs and tools that were brought here.
    private static readonly string[] Ignored = ["bin", "obj", ".git", ".tools", "artifacts", "node_modules", "TestResults", ".vs", ".idea"];

    /// <summary>All files below folders of the repository, "" being its root, whose name ends in one of the endings.</summary>
    public static IEnumerable<SourceFile> Below(string folder, params string[] endings)
    {
        var root = RepositoryPaths.Root;
        var found = Walk(new DirectoryInfo(System.IO.Path.Combine(root, folder)))
            .Where(file => endings.Any(ending => file.Name.EndsWith(ending, StringComparison.Ordinal)))
            .Select(file => new SourceFile(System.IO.Path.GetRelativePath(root, file.FullName).Replace('\\', '/'), File.ReadAllText(file.FullName)))
            .ToList();
        return found.Count > 0 ? found : throw new DirectoryNotFoundException($"{folder} holds no {string.Join(" or ", endings)}: the rule would check nothing.");
    }

    /// <summary>The nodes of a C# file, each with the place where it stands.</summary>
    public IEnumerable<(TNode Node, string Place)> Nodes<TNode>()
        where TNode : SyntaxNode
    {
        var tree = CSharpSyntaxTree.ParseText(Text);
        return tree.GetRoot().DescendantNodes().OfType<TNode>()
            .Select(node => (node, $"{Path}:{tree.GetLineSpan(node.Span).StartLinePosition.Line + 1}"));
    }

    private static IEnumerable<FileInfo> Walk(DirectoryInfo folder) =>
        folder.EnumerateDirectories().Where(below => !Ignored.Contains(below.Name)).SelectMany(Walk).Concat(folder.EnumerateFiles());
}
