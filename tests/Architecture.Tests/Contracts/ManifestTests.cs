using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LlmGateway.Gateway.Import;
using LlmGateway.Gateway.Models;
using LlmGateway.TestKit;

namespace LlmGateway.Architecture.Tests.Contracts;

/// <summary>What the manifests for Kubernetes, the container, systemd and .NET's runtime promise, checked without any of them.</summary>
public sealed class ManifestTests
{
    private static string Config => Path.Combine(RepositoryPaths.Root, "config");

    /// <summary>A property of a project that is spelled wrong says nothing and does nothing.</summary>
    [Theory]
    [InlineData("System.GC.Server", "false")]
    [InlineData("System.GC.Gen0MaxBudget", "3145728")]
    [InlineData("System.Threading.ThreadPool.UnfairSemaphoreSpinLimit", "0")]
    public void Runtime_OfTheGateway_IsSetAsMeasured(string setting, string value)
    {
        var file = Path.Combine(AppContext.BaseDirectory, "llm-gateway.runtimeconfig.json");
        Assert.Equal(value, JsonNode.Parse(File.ReadAllText(file))!["runtimeOptions"]!["configProperties"]![setting]?.ToJsonString());
    }

    [Fact]
    public void Kubernetes_Kustomization_NamesFilesThatExist()
    {
        var kustomization = Manifest("kustomization.yaml");
        var files = Texts(kustomization["resources"]).Concat(kustomization["configMapGenerator"]!.AsArray().SelectMany(map => Texts(map!["files"])));
        Assert.All(files, file => Assert.True(File.Exists(Path.Combine(Config, "kubernetes", file)), file));
    }

    [Theory]
    [InlineData("kubernetes/gateway.json")]
    [InlineData("container/gateway.json")]
    public void Configuration_OfAManifest_IsValidAndListensOnItsPorts(string file)
    {
        var loaded = ConfigurationFile.Load(Path.Combine(Config, file), []);
        Assert.Empty(loaded.Errors);
        Assert.Equal(("http://0.0.0.0:8080", "http://0.0.0.0:9090"), (loaded.Options.Gateway.Listen.Single(), loaded.Options.Management.Listen.Single()));
    }

    [Fact]
    public void Kubernetes_DeploymentAndService_AgreeOnLabelsPortsAndVolumes()
    {
        var (deployment, service) = (Manifest("deployment.yaml"), Manifest("service.yaml"));
        var pod = deployment["spec"]!["template"]!;
        var container = pod["spec"]!["containers"]!.AsArray().Single()!;
        Assert.True(JsonNode.DeepEquals(deployment["spec"]!["selector"]!["matchLabels"], pod["metadata"]!["labels"]));
        Assert.True(JsonNode.DeepEquals(service["spec"]!["selector"], pod["metadata"]!["labels"]));
        var ports = container["ports"]!.AsArray().ToDictionary(port => (string)port!["name"]!, port => (int)(long)port!["containerPort"]!);
        Assert.Equal((8080, 9090), (ports["http"], ports["management"]));
        Assert.All(service["spec"]!["ports"]!.AsArray(), port => Assert.Contains((string)port!["targetPort"]!, ports.Keys));
        Assert.Equal(
            container["volumeMounts"]!.AsArray().Select(mount => (string)mount!["name"]!).Order(),
            pod["spec"]!["volumes"]!.AsArray().Select(volume => (string)volume!["name"]!).Order());
    }

    [Fact]
    public void Kubernetes_Probes_AskWhatTheGatewayAnswersAndTheGraceOutlastsTheDrain()
    {
        var spec = Manifest("deployment.yaml")["spec"]!["template"]!["spec"]!;
        var container = spec["containers"]![0]!;
        (string Probe, string Path)[] probes = [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")];
        Assert.All(probes, probe => Assert.Equal((probe.Path, "management"), ((string)container[probe.Probe]!["httpGet"]!["path"]!, (string)container[probe.Probe]!["httpGet"]!["port"]!)));
        var options = ConfigurationFile.Load(Path.Combine(Config, "kubernetes", "gateway.json"), []).Options;
        var longest = TimeSpan.FromSeconds((long)container["lifecycle"]!["preStop"]!["sleep"]!["seconds"]!) + options.Gateway.DrainTimeout + options.Models.Values.Max(model => model.StopTimeout);
        Assert.True((long)spec["terminationGracePeriodSeconds"]! > longest.TotalSeconds);
    }

    [Fact]
    public void Systemd_Unit_GivesTheDrainItsTimeAndKnowsTheExitCodes()
    {
        var unit = File.ReadAllText(Path.Combine(Config, "systemd", "llm-gateway.service"));
        Assert.True(int.Parse(Setting(unit, "TimeoutStopSec"), System.Globalization.CultureInfo.InvariantCulture) > (new DataPlaneOptions().DrainTimeout + new ModelOptions().StopTimeout).TotalSeconds);
        Assert.Equal(("notify", "78 69", "/bin/kill -HUP $MAINPID"), (Setting(unit, "Type"), Setting(unit, "RestartPreventExitStatus"), Setting(unit, "ExecReload")));
        Assert.NotEmpty(Setting(unit, "WatchdogSec"));
    }

    private static string Setting(string unit, string key) => Regex.Match(unit, $"^{key}=(.*)$", RegexOptions.Multiline).Groups[1].Value.Trim();

    private static JsonObject Manifest(string file) => Yaml.Read(File.ReadAllText(Path.Combine(Config, "kubernetes", file)));

    private static IEnumerable<string> Texts(JsonNode? list) => list!.AsArray().Select(text => (string)text!);
}
