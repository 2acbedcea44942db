using System.Text.Json.Nodes;
using LlmGateway.Gateway.Import;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Import;

public sealed class LlamaSwapImportTests
{
    /// <summary>Everything that the format has, in its own form.</summary>
    private const string Full =
        """
        healthCheckTimeout: 300
        logLevel: debug
        startPort: 10001
        globalTTL: 900
        unloadTimeout: 20
        sendLoadingState: true
        macros:
          "server": >
            /opt/llama/llama-server-b9000
            --port ${PORT}
          "ctx": 4096
          "sized": "--ctx-size ${ctx}"
          "models": "${env.MODELS}/gguf"
        apiKeys:
          - "sk-one"
          - "${env.NOT_SET}"
        models:
          "org/big:q4":
            macros:
              "ctx": 16384
            cmd: |
              # the large one: ${server} is a macro
              ${server}
              --model '${models}/big one.gguf'
              ${sized} -np 2 --alias ${MODEL_ID}
            name: "Big"
            description: "A large model"
            env:
              - "CUDA_VISIBLE_DEVICES=0,1"
            aliases:
              - gpt-4o
              - id: "gpt-4o-mini"
                name: "mini"
            ttl: 60
            useModelName: "upstream/big"
            filters:
              stripParams: "temperature, top_p , model"
              setParams:
                top_k: 20
                stop: ["</s>"]
              setParamsByID:
                "${MODEL_ID}:high": { reasoning_effort: high }
            metadata: { note: "x" }
            concurrencyLimit: 3
            timeouts: { connect: 20, responseHeader: 90, keepalive: 0, idleConn: 90 }
          small:
            cmd: llama-server --port=9001 -m small.gguf
            proxy: http://127.0.0.1:9001
            ttl: 0
            unlisted: true
          vllm:
            proxy: "http://127.0.0.1:${PORT}"
            cmd: docker run --name ${MODEL_ID} --init --rm -p ${PORT}:8080 image
            cmdStop: docker stop ${MODEL_ID}
            checkEndpoint: /ready
          odd:
            cmd: python3 serve.py --port 7000
            proxy: http://127.0.0.1:7000
            checkEndpoint: none
        groups:
          "main": { swap: true, exclusive: true, members: ["org/big:q4", "vllm"] }
          "side": { swap: true, exclusive: false, members: ["odd"] }
          "always": { swap: false, exclusive: false, persistent: true, members: ["small"] }
        hooks:
          on_startup:
            preload: ["small"]
        peers:
          office:
            proxy: http://10.0.0.9:8080
            apiKey: sk-peer
            models: ["llama-70b"]
        """;

    private static readonly Imported All = LlamaSwapImport.Read(Full, name => name == "MODELS" ? "/srv" : null);

    [Fact]
    public void Read_Everything_IsAValidConfiguration()
    {
        var loaded = ConfigurationFile.Parse(null, All.ToText("config.yaml"), []);
        Assert.Empty(loaded.Errors);
        Assert.Equal(["org/big:q4", "small", "vllm", "odd", "llama-70b"], loaded.Options.Models.Keys);
    }

    [Fact]
    public void Read_ServerModel_TakesOverCommandAndSettings()
    {
        var model = Load(All).Models["org/big:q4"];
        Assert.Equal((ModelKind.LlamaServer, "/opt/llama/llama-server-b9000", 2, LoadMode.OnDemand), (model.Kind, model.Executable, model.Slots, model.Load));
        Assert.Equal(["--model", "/srv/gguf/big one.gguf", "--ctx-size", "16384", "--alias", "org/big:q4"], model.Args);
        Assert.Equal(["gpt-4o", "gpt-4o-mini"], model.Aliases);
        Assert.Equal("0,1", model.Environment["CUDA_VISIBLE_DEVICES"]);
        Assert.Equal((TimeSpan.FromMinutes(1), "10001-10100", TimeSpan.FromSeconds(20)), (model.IdleTimeout, model.Ports.ToString(), model.StopTimeout));
        Assert.Equal(["temperature", "top_p"], model.StripParams);
        Assert.Equal(20, (int?)model.SetParams["top_k"]);
        Assert.Equal((TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(90)), (model.Timeouts.Connect, model.Timeouts.FirstToken));
    }

    [Fact]
    public void Read_OtherModels_KeepPortsProbesAndSlots()
    {
        var models = Load(All).Models;
        Assert.Equal((ModelKind.LlamaServer, "9001-9001", null, LoadMode.Eager), (models["small"].Kind, models["small"].Ports.ToString(), models["small"].IdleTimeout, models["small"].Load));
        Assert.Equal(["-m", "small.gguf"], models["small"].Args);
        Assert.Equal((ModelKind.Command, 10, "/ready", TimeSpan.FromMinutes(15)), (models["vllm"].Kind, models["vllm"].Slots, models["vllm"].Probes.Readiness?.Path, models["vllm"].IdleTimeout));
        Assert.Contains("{port}:8080", models["vllm"].Args);
        Assert.Equal((Probes.ProbeKind.Tcp, "7000-7000"), (models["odd"].Probes.Startup!.Kind, models["odd"].Ports.ToString()));
        Assert.Equal("http://10.0.0.9:8080", models["llama-70b"].Remotes.Single().Url);
    }

    [Fact]
    public void Read_GroupsAndRoot_KeepTheirMeaning()
    {
        var options = Load(All);
        Assert.Equal(["swap", null, "swap", "side"], options.Models.Values.Take(4).Select(model => model.Group));
        Assert.Equal(TimeSpan.FromMinutes(5), options.Queue.HoldWhileLoading);
        var key = Assert.Single(options.Keys);
        Assert.Equal(("key-1", $"sha256:{Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("sk-one"u8))}"), (key.Name, key.Hash));
        Assert.DoesNotContain("sk-one", All.ToText("x"), StringComparison.Ordinal);
        Assert.DoesNotContain("sk-peer", All.ToText("x"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("logLevel")]
    [InlineData("sendLoadingState")]
    [InlineData("models.org/big:q4.name")]
    [InlineData("models.org/big:q4.useModelName")]
    [InlineData("models.org/big:q4.filters.setParamsByID")]
    [InlineData("models.org/big:q4.metadata")]
    [InlineData("models.org/big:q4.concurrencyLimit")]
    [InlineData("models.org/big:q4.timeouts.idleConn")]
    [InlineData("models.small.unlisted")]
    [InlineData("models.vllm.cmdStop")]
    [InlineData("groups.always.persistent")]
    [InlineData("peers.office.apiKey")]
    [InlineData("apiKeys: the environment has no NOT_SET now")]
    public void Read_WithoutEquivalent_IsNoted(string path) => Assert.Single(All.Notes, note => note.StartsWith(path, StringComparison.Ordinal));

    [Fact]
    public void Read_NoGroups_RunsOneAtATimeAsThere()
    {
        var imported = LlamaSwapImport.Read("models:\n  a: { cmd: 'llama-server --port ${PORT} -m a.gguf' }\n  b: { cmd: 'llama-server -m b.gguf' }\n", _ => null);
        Assert.All(Load(imported).Models.Values, model => Assert.Equal("swap", model.Group));
        Assert.Contains(imported.Notes, note => note.Contains("one of them at a time", StringComparison.Ordinal));
        Assert.Null(Load(LlamaSwapImport.Read("models:\n  a: { cmd: llama-server -m a.gguf }\nmatrix: { sets: { x: a } }\n", _ => null)).Models["a"].Group);
    }

    [Fact]
    public void Read_GroupsUnderRouting_AreThoseOfTheOldPlace()
    {
        const string Routed =
            """
            models:
              a: { cmd: llama-server -m a.gguf }
              b: { cmd: llama-server -m b.gguf }
            routing:
              router: { use: group, settings: { groups: { g: { exclusive: false, members: [a, b] } } } }
              scheduler: { use: fifo }
            """;
        var imported = LlamaSwapImport.Read(Routed, _ => null);
        Assert.All(Load(imported).Models.Values, model => Assert.Equal("g", model.Group));
        Assert.Equal(["routing.scheduler: has no equivalent."], imported.Notes);
    }

    [Theory]
    [InlineData("models: [")]
    [InlineData("- a")]
    [InlineData("models:\n  a: { cmd: \"x 'y\" }")]
    public void Read_Broken_SaysWhy(string yaml) => Assert.NotEmpty(Assert.Throws<ImportException>(() => LlamaSwapImport.Read(yaml, _ => null)).Message);

    private static GatewayOptions Load(Imported imported) => ConfigurationFile.Parse(null, imported.ToText("x"), []) is { Errors.IsEmpty: true } loaded
        ? loaded.Options
        : throw new InvalidOperationException(JsonNode.Parse(imported.Document.ToJsonString())!.ToString());
}
