using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LlmGateway.Architecture.Tests.Sources;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>What stands in <c>config/</c> and in the options' documentation is what the gateway reads.</summary>
public sealed class ConfigurationContractTests
{
    /// <summary>Set to 1, the test writes the file instead of comparing it.</summary>
    private const string UpdateVariable = "LLMGATEWAY_UPDATE_SCHEMA";

    private static readonly string Config = Path.Combine(Root(), "config");

    [Fact]
    public void Schema_OfTheOptionsClasses_IsTheFileInConfig()
    {
        var file = Path.Combine(Config, "gateway.schema.json");
        var generated = ConfigurationSchema.Generate();
        if (Environment.GetEnvironmentVariable(UpdateVariable) == "1")
        {
            File.WriteAllText(file, generated);
        }

        Assert.True(generated == File.ReadAllText(file), $"config/gateway.schema.json is not what the options say. Run this test with {UpdateVariable}=1 and commit the file.");
    }

    [Fact]
    public void Examples_InConfig_AreValid()
    {
        var examples = Directory.GetFiles(Config, "*.json", SearchOption.AllDirectories).Where(file => !file.EndsWith(".schema.json", StringComparison.Ordinal) && Path.GetFileName(Path.GetDirectoryName(file)) != "grafana").ToArray();
        Assert.NotEmpty(examples);
        Assert.All(examples, file => Assert.Empty(ConfigurationFile.Load(file, []).Errors));
    }

    /// <summary>R10: an option that no test sets may do nothing, and nobody would know.</summary>
    [Fact]
    public void Options_EachOfThem_IsSetByATest()
    {
        var tests = string.Join('\n', SourceFile.Below("tests", ".cs").Where(file => !file.Path.Contains("Architecture.Tests", StringComparison.Ordinal)).Select(file => file.Text));
        var names = Properties(JsonNode.Parse(ConfigurationSchema.Generate())).Where(name => name != "$schema").Distinct().ToList();
        Assert.True(names.Count > 90, "too few to be all of them");
        Rule.Holds(names
            .Where(name => !Regex.IsMatch(tests, $"\"{name}\\\\?\"|\\b{name} = |(:|__){name}\\b"))
            .Select(name => $"no test sets the option {name}"));
    }

    private static IEnumerable<string> Properties(JsonNode? node) => node switch
    {
        JsonObject known => known
            .SelectMany(pair => Properties(pair.Value))
            .Concat(known["properties"] is JsonObject properties ? properties.Select(pair => pair.Key) : []),
        JsonArray list => list.SelectMany(Properties),
        _ => [],
    };

    private static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "LlmGateway.sln")))
        {
            folder = folder.Parent ?? throw new InvalidOperationException("LlmGateway.sln is in none of the folders above the test.");
        }

        return folder.FullName;
    }
}
