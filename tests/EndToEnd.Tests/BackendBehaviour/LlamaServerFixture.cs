using LlmGateway.TestKit;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public sealed class LlamaServerFixture : BackendFixture
{
    // A key-value cache of half a gigabyte has to be cleared.
    public override IReadOnlyList<string> SlowLoading => ["-c", "1000000"];

    protected override string Executable => Required("LLAMA_SERVER", Path.Combine(".tools", "llama", "bin", "llama-server"));

    protected override IReadOnlyList<string> Model => ["-m", Required("LLMGATEWAY_TINY_MODEL", Path.Combine(".tools", "models", "tiny.gguf")), "--offline"];

    private static string Required(string variable, string otherwise)
    {
        var path = Environment.GetEnvironmentVariable(variable) is { Length: > 0 } named ? named : Path.Combine(RepositoryPaths.Root, otherwise);
        return File.Exists(path)
            ? path
            : throw new FileNotFoundException($"{path} is missing. Run ./test.sh once: it installs a real llama-server and makes the model that these tests need (or set {variable}).", path);
    }
}
