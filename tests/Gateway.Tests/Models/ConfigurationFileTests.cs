using System.Text.Json;
using CsCheck;
using LlmGateway.Gateway.Models;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class ConfigurationFileTests
{
    private const string Hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    [Fact]
    public void Parse_TheDocumentedConfiguration_LoadsAndHoldsItsValues()
    {
        var loaded = Parse($$$"""
            {
              "$schema": "./gateway.schema.json",
              "Gateway":    { "Listen": "http://127.0.0.1:8080", "Hosts": [], "CorsOrigins": [], "MaxRequestBody": "32MiB",
                              "MaxConcurrentRequests": 4096, "DrainTimeout": "60s", "StateDirectory": null, "Insecure": false },
              "Management": { "Listen": "http://127.0.0.1:9090", "Hosts": [], "TokenFile": null, "ReadOnly": false },
              "Queue":      { "MaxDepth": null /* 32 x the model's configured slots */, "MaxDepthPerKey": null /* 4 x; off without keys */,
                              "MaxBytes": "256MiB" /* bodies queued or kept for a retry */,
                              "Timeout": "60s" /* longest wait for a slot while a backend is ready */,
                              "HoldWhileLoading": "120s" /* while none is ready but one is coming; its own clock */ },
              "Memory":     { "Budget": null /* share of RAM or VRAM */, "Share": 0.8 },
              "Keys":       [ { "Name": "team-a", "Hash": "{{{Hash}}}", "Models": ["*"], "Priority": "normal", "Weight": 1,
                                "MaxConcurrent": null, "RequestsPerMinute": null, "TokensPerMinute": null, "Admin": false } ],
              "Models": {
                "qwen3-8b": {
                  "Aliases": ["gpt-4o-mini"],
                  "Kind": "llama-server",            // llama-server | simulator | command | remote
                  "Executable": "llama-server", "Args": ["-m", "models/qwen3-8b.gguf"], "Environment": {}, "WorkingDirectory": null,
                  "Replicas": 2, "Slots": 4, "Transport": "tcp" /* or "unix" */, "Ports": "18100-18199",
                  "Remotes": [ { "Url": "http://10.0.0.7:8080", "Slots": 4, "KeyFile": null } ],
                  "Load": "eager" /* or "on-demand" */, "IdleTimeout": null, "Group": null, "MemoryBytes": null,
                  "Queue": {}, "Timeouts": { "Connect": "2s", "FirstToken": "600s" /* from the grant */, "BetweenTokens": "60s", "Total": "1h" },
                  "Probes": {
                    "Startup":   { "Kind": "http", "Path": "/health", "Period": "500ms", "Timeout": "1s", "StallTimeout": "600s" },
                    "Readiness": { "Kind": "http", "Path": "/health", "InitialDelay": "0s", "Period": "2s", "Timeout": "1s", "SuccessThreshold": 1, "FailureThreshold": 3 },
                    "Liveness":  { "Kind": "progress", "InitialDelay": "0s", "Period": "5s", "Timeout": "2s", "FailureThreshold": 6, "StallTimeout": "60s" }
                  },
                  "Restart": { "Policy": "always" /* on-failure | never */, "InitialBackoff": "1s", "MaxBackoff": "60s",
                               "MaxRestarts": 5, "Window": "5m", "StableAfter": "10m", "OnExhausted": "slow-retry" /* every 5 min; or hold */ },
                  "Breaker": { "FailureRatio": 0.5, "MinimumThroughput": 10, "Window": "30s", "BreakDuration": "5s" /* doubling to 60 s */ },
                  "Retry":   { "MaxAttempts": 2 /* the first one counts */, "BudgetRatio": 0.2 },
                  "SlowStart": "10s", "StopTimeout": "10s", "SetParams": {}, "StripParams": []
                }
              }
            }
            """);

        Assert.Empty(loaded.Errors);
        var model = loaded.Options.Models["qwen3-8b"];
        Assert.Equal((ModelKind.LlamaServer, 2, 4, LoadMode.Eager), (model.Kind, model.Replicas, model.Slots, model.Load));
        Assert.Equal(ProbeKind.Progress, model.Probes.Liveness!.Kind);
        Assert.Equal(TimeSpan.FromSeconds(600), model.Timeouts.FirstToken);
        Assert.Equal("http://127.0.0.1:8080", Assert.Single(loaded.Options.Gateway.Listen));

        // What the documentation calls defaults are the defaults.
        Assert.Equal(Json(new GatewayOptions().Gateway), Json(loaded.Options.Gateway));
        Assert.Equal(Json(new GatewayOptions().Management), Json(loaded.Options.Management));
        Assert.Equal(new TimeoutOptions(), model.Timeouts);
        Assert.Equal(new RestartSection(), model.Restart);
        Assert.Equal(new BreakerOptions(), model.Breaker);
        Assert.Equal(new RetryOptions(), model.Retry);
        Assert.Equal(new MemoryOptions(), loaded.Options.Memory);
    }

    [Fact]
    public void Parse_TheShippedConfiguration_Loads()
    {
        var loaded = ConfigurationFile.Load(Path.Combine(TestKit.RepositoryPaths.Root, "config", "gateway.json"), []);
        Assert.Empty(loaded.Errors);
        Assert.Empty(loaded.Warnings);
        Assert.Equal(ModelKind.Simulator, loaded.Options.Models["demo"].Kind);
    }

    [Fact]
    public void Parse_ManyFaults_AllAreReportedWithPathAndValue()
    {
        var loaded = Parse("""
            {
              "Gatway": {},
              "Gateway": { "MaxRequestBody": "big", "DrainTimeout": 5, "Insecure": "perhaps", "MaxConcurrentRequests": 0 },
              "Keys": [ { "Weight": 1001 }, 7 ],
              "Models": {
                "a": { "Slot": 3, "Slots": 0, "Replicas": "many", "Ports": "9-1", "Args": "-m x", "Kind": "lama-server", "Restart": { "MaxBackoff": "1y" } }
              }
            }
            """);

        var errors = loaded.Errors.ToDictionary(error => error.Path);
        Assert.Equal(
            [
                "Gateway:DrainTimeout", "Gateway:Insecure", "Gateway:MaxConcurrentRequests", "Gateway:MaxRequestBody", "Gatway", "Keys:0:Hash", "Keys:0:Name", "Keys:0:Weight", "Keys:1",
                "Models:a:Args", "Models:a:Kind", "Models:a:Ports", "Models:a:Replicas", "Models:a:Restart:MaxBackoff", "Models:a:Slot", "Models:a:Slots",
            ],
            errors.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("\"big\"", errors["Gateway:MaxRequestBody"].Value);
        Assert.Equal("1001", errors["Keys:0:Weight"].Value);
        Assert.Contains("Gateway", errors["Gatway"].Message, StringComparison.Ordinal);
        Assert.Contains("did you mean Slots?", errors["Models:a:Slot"].Message, StringComparison.Ordinal);
        Assert.Contains("llama-server, simulator, command, remote", errors["Models:a:Kind"].Message, StringComparison.Ordinal);
        Assert.Contains("between 1 and 1024", errors["Models:a:Slots"].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_UnreadableAndUnrelatedFaults_AreReportedTogether()
    {
        var loaded = Parse("""
            {
              "Gateway": { "MaxRequestBody": "big" },
              "Keys": [ { "Name": "x y", "Hash": "secret" } ],
              "Models": { "a": { "Slots": 0 }, "b": { "Kind": "command" }, "c d": {} }
            }
            """);

        Assert.Equal(
            ["Gateway:MaxRequestBody", "Keys:0:Hash", "Keys:0:Name", "Models:a:Slots", "Models:b:Executable", "Models:c d"],
            loaded.Errors.Select(error => error.Path).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Parse_RelationBesideUnreadableOptions_IsReportedUnlessItIsAboutThem()
    {
        var loaded = Parse("""
            {
              "Gateway": { "Listen": "http://0.0.0.0:8080", "DrainTimeout": "soon" },
              "Models": {
                "a": { "Kind": "command", "Slot": 1, "Slots": 0, "Replicas": 2, "Ports": "10-10", "Aliases": ["b"] },
                "b": { "Replicas": "many", "Ports": "10-10", "Kind": "lama-server", "Restart": { "InitialBackoff": "now", "MaxBackoff": "100ms" } },
                "c d": { "Slot": 1 }
              }
            }
            """);

        Assert.Equal(
            [
                "Gateway:DrainTimeout", "Gateway:Listen", "Models:a:Executable", "Models:a:Ports", "Models:a:Slot", "Models:a:Slots",
                "Models:b", "Models:b:Kind", "Models:b:Replicas", "Models:b:Restart:InitialBackoff", "Models:c d", "Models:c d:Slot",
            ],
            loaded.Errors.Select(error => error.Path).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("""{"keys":[{"Name":"k","Hash":"$","Models":["x"]}],"Models":{"4o":{"Slot":1}}}""", "Keys:0:Models Models:4o:Slot")]
    [InlineData("""{"Keys":[{"Name":"k","Hash":"$","Models":["x"]}],"Models":{"a":{"Aliases":5}}}""", "Models:a:Aliases")]
    [InlineData("""{"Gateway":{"Listen":"http://0.0.0.0:1"},"keys":5}""", "keys")]
    public void Parse_RelationWithAnUnreadableOption_IsHiddenByItsOwnOnly(string json, string paths) =>
        Assert.Equal(paths.Split(' '), Parse(json.Replace("$", Hash, StringComparison.Ordinal)).Errors.Select(error => error.Path).Order(StringComparer.Ordinal));

    [Fact]
    public void Parse_RemotesOfALocalModel_AreAllowedAndSaidToBeUnused()
    {
        var loaded = Parse("""{"Models":{"a":{"Remotes":[{"Url":"http://x"}]},"b":{"Kind":"remote","Remotes":[{"Url":"http://x"}]}}}""");
        Assert.Empty(loaded.Errors);
        Assert.StartsWith("Models:a:Remotes: not used", Assert.Single(loaded.Warnings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"Models":{"a":null}}""", "Models:a")]
    [InlineData("""{"Models":null}""", "Models")]
    [InlineData("""{"Models":[]}""", "Models")]
    [InlineData("""{"Gateway":null}""", "Gateway")]
    [InlineData("""{"Gateway":{"Listen":null}}""", "Gateway:Listen")]
    [InlineData("""{"Gateway":{"Listen":[null]}}""", "Gateway:Listen")]
    [InlineData("""{"Gateway":{"Listen":[]}}""", "Gateway:Listen")]
    [InlineData("""{"Gateway":{"Listen":8080}}""", "Gateway:Listen")]
    [InlineData("""{"Gateway":{"Hosts":[null]}}""", "Gateway:Hosts:0")]
    [InlineData("""{"Gateway":{"MaxRequestBody":-1}}""", "Gateway:MaxRequestBody")]
    [InlineData("""{"Gateway":{"MaxRequestBody":null}}""", "Gateway:MaxRequestBody")]
    [InlineData("""{"Keys":[null]}""", "Keys:0")]
    [InlineData("""{"Keys":{}}""", "Keys")]
    [InlineData("""{"Memory":{"Share":1.5}}""", "Memory:Share")]
    [InlineData("""{"Memory":{"Share":1e999}}""", "Memory:Share")]
    [InlineData("""{"Models":{"a":{"SetParams":[]}}}""", "Models:a:SetParams")]
    [InlineData("""{"Models":{"a":{"Environment":{"X":1}}}}""", "Models:a:Environment:X")]
    [InlineData("""{"Models":{"a":{"Probes":{"Readiness":{"Headers":{"X":null}}}}}}""", "Models:a:Probes:Readiness:Headers:X")]
    [InlineData("""{"Models":{"a":{"Slots":2,"slots":3}}}""", "Models:a:slots")]
    [InlineData("""{"Models":{"a":{"Slots":99999999999}}}""", "Models:a:Slots")]
    [InlineData("""{"Models":{"a":{"Slots":2.5}}}""", "Models:a:Slots")]
    [InlineData("""{"Models":{"a":{"Kind":0}}}""", "Models:a:Kind")]
    [InlineData("""{"Models":{"a":{"Group":"\ud800"}}}""", "Models:a:Group")]
    [InlineData("""{"Models":{"a":{"IdleTimeout":"0s"}}}""", "Models:a:IdleTimeout")]
    [InlineData("""{"Models":{"a":{"Timeouts":{"Total":"169h"}}}}""", "Models:a:Timeouts:Total")]
    public void Parse_OneFault_IsReportedUnderItsPathAndNothingThrows(string json, string path)
    {
        var error = Assert.Single(Parse(json).Errors);
        Assert.Equal(path, error.Path);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("""{"Models":{},"Models":{}}""")]
    [InlineData("""{"Models":{"a":{},"a":{}}}""")]
    [InlineData("""{"Models":{"\ud800":{}}}""")]
    public void Parse_NoProperDocument_IsOneErrorThatNamesTheFile(string json)
    {
        var error = Assert.Single(ConfigurationFile.Parse("/x/gateway.json", json, []).Errors);
        Assert.Contains("/x/gateway.json", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("qwen3-8b-Q4_K_M", "qwen3-8b-Q4_K_M")]
    [InlineData("My Model (v1)", "My-Model--v1-")]
    [InlineData("org/repo:Q8_0", "org/repo:Q8_0")]
    [InlineData("", "model")]
    public void ToModelName_AnyFileName_IsAName(string text, string name) => Assert.Equal(name, GatewayOptionsValidator.ToModelName(text));

    [Fact]
    public void Parse_CommentsTrailingCommasAndAnyCase_AreTaken()
    {
        var loaded = Parse("{ /* a */ \"models\": { \"a\": { \"kind\": \"simulator\", \"SLOTS\": \"3\", }, }, // b\n }");
        Assert.Empty(loaded.Errors);
        Assert.Equal(3, loaded.Options.Models["a"].Slots);
    }

    [Fact]
    public void Parse_EnvironmentWithNull_KeepsTheNullThatRemovesAVariable()
    {
        var loaded = Parse("""{"Models":{"a":{"Environment":{"X":null,"Y":"1"}}}}""");
        Assert.Empty(loaded.Errors);
        Assert.Null(loaded.Options.Models["a"].Environment["X"]);
    }

    [Theory]
    [InlineData("http://0.0.0.0:8080", false)]
    [InlineData("http://*:8080", false)]
    [InlineData("http://[::]:8080", false)]
    [InlineData("http://192.168.0.3:8080", false)]
    [InlineData("http://127.0.0.1:8080", true)]
    [InlineData("http://127.8.8.8:8080", true)]
    [InlineData("http://localhost:8080", true)]
    [InlineData("http://[::1]:8080", true)]
    public void Parse_ListenerWithoutKeys_MustBeLoopback(string url, bool isFine)
    {
        var json = $$$"""{"Gateway":{"Listen":"{{{url}}}"}}""";
        Assert.Equal(isFine, Parse(json).Errors.IsEmpty);
        Assert.Empty(Parse(json, "--Gateway:Insecure=true").Errors);
        Assert.Empty(Parse($$$"""{"Gateway":{"Listen":["{{{url}}}"]},"Keys":[{"Name":"a","Hash":"{{{Hash}}}"}]}""").Errors);
    }

    [Theory]
    [InlineData("127.0.0.1:8080")]
    [InlineData("ftp://127.0.0.1")]
    [InlineData("http://example.com:80")]
    [InlineData("http://127.0.0.1:8080/base")]
    [InlineData("http://u:p@127.0.0.1:8080")]
    [InlineData("http://127.0.0.1:99999")]
    [InlineData("")]
    public void Parse_ListenerThatIsNoAddress_IsRefused(string url) =>
        Assert.Equal("Gateway:Listen", Assert.Single(Parse($$$"""{"Gateway":{"Listen":"{{{url}}}"}}""").Errors).Path);

    [Theory]
    [InlineData("""{"Models":{"a":{"Ports":"10-10","Replicas":2}}}""", "Models:a:Ports")]
    [InlineData("""{"Models":{"a":{"Ports":"10-12","Scale":{"MaxReplicas":4}}}}""", "Models:a:Ports")]
    [InlineData("""{"Models":{"a":{"Replicas":3,"Scale":{"MaxReplicas":2}}}}""", "Models:a:Scale:MaxReplicas")]
    [InlineData("""{"Models":{"a":{"Replicas":0,"Scale":{"MaxReplicas":2}}}}""", "Models:a:Scale:MaxReplicas")]
    [InlineData("""{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"http://x"}],"Scale":{"MaxReplicas":2}}}}""", "Models:a:Scale:MaxReplicas")]
    [InlineData("""{"Models":{"a":{"Restart":{"InitialBackoff":"10s","MaxBackoff":"9s"}}}}""", "Models:a:Restart:MaxBackoff")]
    [InlineData("""{"Models":{"a":{"Kind":"remote"}}}""", "Models:a:Remotes")]
    [InlineData("""{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"x"}]}}}""", "Models:a:Remotes:0:Url")]
    [InlineData("""{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"http://u:p@x"}]}}}""", "Models:a:Remotes:0:Url")]
    [InlineData("""{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"http://x","KeyFile":"/no/such/file"}]}}}""", "Models:a:Remotes:0:KeyFile")]
    [InlineData("""{"Models":{"a":{"Probes":{"Readiness":{"Kind":"progress"}}}}}""", "Models:a:Probes:Readiness:Kind")]
    [InlineData("""{"Models":{"a":{"Probes":{"Startup":{"Kind":"exec"}}}}}""", "Models:a:Probes:Startup:Command")]
    [InlineData("""{"Models":{"a":{"Probes":{"Startup":{"Path":"health"}}}}}""", "Models:a:Probes:Startup:Path")]
    [InlineData("""{"Models":{"a":{"Probes":{"Startup":{"Kind":"exec","Command":[""]}}}}}""", "Models:a:Probes:Startup:Command")]
    [InlineData("""{"Models":{"a":{"Probes":{"Liveness":{"Kind":"http","Command":["true"]}}}}}""", "Models:a:Probes:Liveness:Command")]
    [InlineData("""{"Models":{"a":{"Probes":{"Liveness":{"Kind":"tcp","SuccessThreshold":2}}}}}""", "Models:a:Probes:Liveness:SuccessThreshold")]
    [InlineData("""{"Models":{"a":{"Probes":{"Readiness":{"Headers":{"X Y":"z"}}}}}}""", "Models:a:Probes:Readiness:Headers:X Y")]
    [InlineData("""{"Models":{"a":{"Kind":"remote","Remotes":[{"Url":"http://127.0.0.1:1"}],"Probes":{"Liveness":{"Kind":"http"}}}}}""", "Models:a:Probes:Liveness")]
    [InlineData("""{"Models":{"a":{"Aliases":["b"]},"b":{}}}""", "Models:b")]
    [InlineData("""{"Models":{"a":{"Aliases":["a"]}}}""", "Models:a:Aliases")]
    [InlineData("""{"Models":{"":{}}}""", "Models:")]
    [InlineData("""{"Models":{"a\n":{}}}""", "Models:a\n")]
    [InlineData("""{"Models":{"ä":{}}}""", "Models:ä")]
    [InlineData("""{"Gateway":{"Listen":"https://127.0.0.1:8443"}}""", "Gateway:Tls")]
    public void Parse_BrokenRelation_IsReported(string json, string path) => Assert.Equal(path, Assert.Single(Parse(json).Errors).Path);

    [Theory]
    [InlineData("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0")]
    [InlineData("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0g")]
    [InlineData("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    [InlineData("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\\n")]
    public void Parse_HashThatIsNone_IsReportedAndNotShown(string hash)
    {
        var error = Assert.Single(Parse($$"""{"Keys":[{"Name":"a","Hash":"{{hash}}"}]}""").Errors);
        Assert.Equal(("Keys:0:Hash", null), (error.Path, error.Value));
    }

    [Fact]
    public void Parse_KeysThatClash_AreReported() => Assert.Equal(
        ["Keys:1", "Keys:1:Models"],
        Parse($$"""{"Keys":[{"Name":"a","Hash":"{{Hash}}"},{"Name":"b","Hash":"{{Hash.ToUpperInvariant().Replace("SHA256", "sha256", StringComparison.Ordinal)}}","Models":["nope"]}]}""")
            .Errors.Select(error => error.Path));

    [Fact]
    public void Parse_AnyJson_NeverThrows() => RandomJson.Text.Sample(text => _ = Parse(text), iter: 3000);

    [Fact]
    public void Parse_RandomJsonInEachSection_NeverThrows() =>
        Gen.Select(Gen.OneOf("Gateway", "Management", "Queue", "Memory", "Keys", "Models"), RandomJson.Text)
            .Sample((section, text) => _ = Parse($$$"""{"{{{section}}}":{{{text}}},"Models":{"a":{{{text}}}}}"""), iter: 3000);

    [Fact]
    public void Load_NoSuchFile_IsOneError()
    {
        var error = Assert.Single(ConfigurationFile.Load("/no/such/gateway.json", []).Errors);
        Assert.Contains("/no/such/gateway.json", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Find_OptionBeforeEnvironmentBeforeFiles()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(Path.Combine(folder.Path, "work", "config"));
        Directory.CreateDirectory(Path.Combine(folder.Path, "bin", "config"));
        var (work, binary) = (Path.Combine(folder.Path, "work"), Path.Combine(folder.Path, "bin"));
        var (here, beside) = (Path.Combine(work, "config", "gateway.json"), Path.Combine(binary, "config", "gateway.json"));

        Assert.Null(ConfigurationFile.Find(null, null, work, binary));
        File.WriteAllText(beside, "{}");
        Assert.Equal(beside, ConfigurationFile.Find(null, "", work, binary));
        File.WriteAllText(here, "{}");
        Assert.Equal(here, ConfigurationFile.Find(null, null, work, binary));
        Assert.Equal(Path.Combine(work, "e.json"), ConfigurationFile.Find(null, "e.json", work, binary));
        Assert.Equal(Path.Combine(work, "o.json"), ConfigurationFile.Find("o.json", "e.json", work, binary));
    }

    [Fact]
    public void Parse_OptionsWrittenAsJson_AreReadBackEqual() => AnyOptions.Sample(
        options =>
        {
            var json = Json(options);
            var (back, errors) = OptionsReader.Read<GatewayOptions>(System.Text.Json.Nodes.JsonNode.Parse(json));
            Assert.Empty(errors);
            Assert.Equal(json, Json(back));
        },
        iter: 500);

    private static Gen<TimeSpan> Between(string low, string high) =>
        Gen.Long[Duration.Parse(low).Ticks, Math.Min(Duration.Parse(high).Ticks, TimeSpan.TicksPerDay - 1)].Select(TimeSpan.FromTicks);

    private static readonly Gen<string> Name = Gen.String[Gen.Char["abzAZ09._-:/@"], 1, 12];

    private static readonly Gen<ModelOptions> AnyModel =
        from kind in Gen.Enum<ModelKind>()
        from aliases in Name.Array[0, 3]
        from args in Gen.String.Array[0, 3]
        from environment in Gen.Dictionary(Name, Gen.OneOf("x", null, "{port}"))[0, 3]
        from counts in Gen.Select(Gen.Int[0, 256], Gen.Int[1, 1024], Gen.Enum<ReplicaTransport>())
        from port in Gen.Int[1, 65000]
        from idle in Between("1s", "720h").Nullable()
        from timeouts in Gen.Select(Between("10ms", "5m"), Between("10ms", "23h"), (connect, first) => new TimeoutOptions { Connect = connect, FirstToken = first })
        from probe in Gen.Select(Gen.Enum<ProbeKind>(), Between("50ms", "1h"), Gen.Int[1, 100], Gen.Bool)
        from restart in Gen.Select(Gen.Enum<RestartPolicyKind>(), Gen.Enum<RestartExhausted>(), Gen.Int[0, 1000])
        from ratio in Gen.Double[0.01, 1]
        from size in Gen.Long[1 << 20, 1L << 40].Select(bytes => new ByteSize(bytes)).Nullable()
        select new ModelOptions
        {
            Kind = kind,
            Aliases = aliases,
            Args = args,
            Environment = environment!,
            Replicas = counts.Item1,
            Slots = counts.Item2,
            Transport = counts.Item3,
            Ports = new PortRange(port, port + 5),
            IdleTimeout = idle,
            Timeouts = timeouts,
            Probes = new ProbesOptions { Startup = probe.Item4 ? new ProbeSection { Kind = probe.Item1, Period = probe.Item2, FailureThreshold = probe.Item3 } : null },
            Restart = new RestartSection { Policy = restart.Item1, OnExhausted = restart.Item2, MaxRestarts = restart.Item3 },
            Breaker = new BreakerOptions { FailureRatio = ratio },
            MemoryBytes = size,
            SetParams = new System.Text.Json.Nodes.JsonObject { ["temperature"] = ratio },
        };

    private static readonly Gen<GatewayOptions> AnyOptions =
        from models in Gen.Dictionary(Name, AnyModel)[0, 3]
        from urls in Gen.OneOf("http://127.0.0.1:0", "http://[::1]:8080").Array[0, 3]
        from insecure in Gen.Bool
        from body in Gen.Long[1024, 1 << 30]
        from priority in Gen.Enum<Priority>()
        from wait in Between("1ms", "24h").Nullable()
        select new GatewayOptions
        {
            Models = models,
            Gateway = new DataPlaneOptions { Listen = urls, Insecure = insecure, MaxRequestBody = new ByteSize(body) },
            Keys = [new KeyOptions { Name = "a", Priority = priority }],
            Queue = new QueueOptions { Timeout = wait },
        };

    private static LoadedConfiguration Parse(string json, params string[] arguments) =>
        ConfigurationFile.Parse("gateway.json", json, ConfigurationOverrides.Collect(new Dictionary<string, string>(), arguments));

    private static string Json<T>(T value) => JsonSerializer.Serialize(value, OptionsJson.Serializer);
}
