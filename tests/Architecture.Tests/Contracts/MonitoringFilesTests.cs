using System.Text.Json.Nodes;
using LlmGateway.TestKit;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>What lies ready for other people's monitoring.</summary>
public sealed class MonitoringFilesTests
{
    private static readonly string Config = Path.Combine(RepositoryPaths.Root, "config");

    [Theory]
    [InlineData("service-monitor.yaml", "ServiceMonitor", "  endpoints:")]
    [InlineData("pod-monitor.yaml", "PodMonitor", "  podMetricsEndpoints:")]
    public void Monitors_SelectTheManagementPort(string file, string kind, string endpoints)
    {
        var lines = File.ReadAllLines(Path.Combine(Config, "kubernetes", file));

        Assert.Contains("apiVersion: monitoring.coreos.com/v1", lines);
        Assert.Contains($"kind: {kind}", lines);
        Assert.Equal(["    - port: management", "      path: /metrics"], lines[(Array.IndexOf(lines, endpoints) + 1)..][..2]);
    }

    [Fact]
    public void Dashboards_AreImportable()
    {
        var boards = Directory.GetFiles(Path.Combine(Config, "grafana"), "*.json").Select(file => JsonNode.Parse(File.ReadAllText(file))!).ToList();

        Assert.Equal(["backend", "model", "overview", "processes"], boards.Select(board => ((string)board["uid"]!)["llmgateway-".Length..]).Order());
        Assert.All(boards, board =>
        {
            var panels = board["panels"]!.AsArray();
            Assert.Equal(panels.Count, panels.Select(panel => (int)panel!["id"]!).Distinct().Count());
            Assert.All(panels, panel => Assert.NotEmpty((string)panel!["title"]!));
            Assert.All(panels.Where(panel => (string)panel!["type"]! != "row"), panel => Assert.NotEmpty((string)panel!["description"]!));
        });
    }

    [Fact]
    public void Build_HoldsNoNativeLibraryOfAPackage()
    {
        var output = Path.GetDirectoryName(RepositoryPaths.Program("Gateway", "llm-gateway"))!;
        Assert.DoesNotContain(Directory.EnumerateFiles(output, "*", SearchOption.AllDirectories), file =>
            file.EndsWith(".so", StringComparison.Ordinal) || file.EndsWith(".dylib", StringComparison.Ordinal) || Path.GetFileName(file) is "KernelTraceControl.dll" or "msdia140.dll");
    }
}
