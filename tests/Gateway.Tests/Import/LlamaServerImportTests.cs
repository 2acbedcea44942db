using LlmGateway.Gateway.Import;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Import;

public sealed class LlamaServerImportTests
{
    private const string Presets =
        """
        version = 1

        ; for all
        [*]
        ctx-size   = 8192
        mmap       = 1
        kv-unified = true
        parallel   = 4

        [ggml-org/small-GGUF:Q4_K_M]
        hf              = ggml-org/small-GGUF:Q4_K_M
        load-on-startup = true
        c               = 4096
        stop-timeout    = 20

        # a local one
        [big]
        model       = /srv/models/big.gguf
        parallel    = 2
        flash-attn  = on
        jinja       = true
        warmup      = false
        temp        = 0.7
        alias       = big, large
        port        = 9999
        chat-template-kwargs = {"reasoning_effort": "high"}
        LLAMA_ARG_CACHE_TYPE_K = q8_0

        [bare]
        temp = 1.0
        """;

    private static readonly Imported All = LlamaServerImport.Read(Presets);

    [Fact]
    public void Read_Presets_BecomeModels()
    {
        var loaded = ConfigurationFile.Parse(null, All.ToText("models.ini"), []);
        Assert.Empty(loaded.Errors);
        var (small, big) = (loaded.Options.Models["ggml-org/small-GGUF:Q4_K_M"], loaded.Options.Models["big"]);
        Assert.Equal((LoadMode.Eager, 4, TimeSpan.FromSeconds(20)), (small.Load, small.Slots, small.StopTimeout));
        Assert.Equal(["--ctx-size", "8192", "--mmap", "--kv-unified", "-hf", "ggml-org/small-GGUF:Q4_K_M", "-c", "4096"], small.Args);
        Assert.Equal((LoadMode.OnDemand, 2), (big.Load, big.Slots));
        Assert.Equal(
            ["--ctx-size", "8192", "--mmap", "--kv-unified", "--model", "/srv/models/big.gguf", "--flash-attn", "on", "--jinja", "--no-warmup", "--temp", "0.7", "--chat-template-kwargs", "{\"reasoning_effort\": \"high\"}"],
            big.Args);
        Assert.Equal(["large"], big.Aliases);
        Assert.Equal("q8_0", big.Environment["LLAMA_ARG_CACHE_TYPE_K"]);
    }

    [Fact]
    public void Read_WithoutEquivalent_IsNoted() =>
        Assert.Equal(["[big] port:", "[bare]: names"], All.Notes.Select(note => string.Join(' ', note.Split(' ').Take(2))));

    [Theory]
    [InlineData("", "no section")]
    [InlineData("[a\nx = 1", "line 1")]
    [InlineData("[a]\nx", "line 2")]
    public void Read_Broken_SaysWhere(string ini, string expected) =>
        Assert.Contains(expected, Assert.Throws<ImportException>(() => LlamaServerImport.Read(ini)).Message, StringComparison.Ordinal);
}
