namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public sealed class LlamaServerFacts(LlamaServerFixture fixture) : BackendFacts(fixture), IClassFixture<LlamaServerFixture>
{
    /// <summary>It leaves while its threads still run, and sometimes aborts over that (128 + SIGABRT).</summary>
    protected override IEnumerable<int> CodesWithoutRouter => [1, 128 + 6];
}
