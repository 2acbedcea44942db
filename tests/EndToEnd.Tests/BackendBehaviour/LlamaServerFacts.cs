namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public sealed class LlamaServerFacts(LlamaServerFixture fixture) : BackendFacts(fixture), IClassFixture<LlamaServerFixture>;
